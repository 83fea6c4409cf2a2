package sofa.client;

import java.io.IOException;

/** Starts the client: the HTTP side first, so that it can say why nothing else works yet. */
public final class Main {
  private Main() {}

  /** All options come from the environment; see {@link Options}. */
  public static void main(String[] args) {
    try {
      Options options = Options.from(System.getenv());
      Ledger ledger = new Ledger(options);
      Registry registry = new Registry(options, ledger);
      Api.serve(options.httpPort(), ledger, registry);
      registry.start();
    } catch (IllegalArgumentException e) {
      fail(2, e.getMessage());
    } catch (IOException e) {
      fail(1, "the HTTP port cannot be opened: " + e.getMessage());
    } catch (Throwable e) {
      // Without the exit the HTTP thread would keep a client alive that registered only a part.
      e.printStackTrace();
      fail(1, "the start failed: " + e);
    }
  }

  private static void fail(int code, String sentence) {
    System.err.println("registry-client: " + sentence);
    System.exit(code);
  }
}
