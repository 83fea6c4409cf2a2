package sofa.client;

import java.io.IOException;
import java.io.InputStream;
import java.net.ConnectException;
import java.net.HttpURLConnection;
import java.net.SocketTimeoutException;
import java.net.URL;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;

/**
 * Finds out why the SDK has no connection, by the question that the SDK itself asks first: the list of the session
 * servers. The SDK writes the answer to its log only.
 */
final class SessionProbe {
  private static final int TIMEOUT_MS = 2_000;

  private final String address;
  private final int port;
  private volatile String reason = "the session servers have not been asked yet";

  SessionProbe(String address, int port) {
    this.address = address;
    this.port = port;
  }

  /** The last reason found; of no meaning while there is a connection. */
  String reason() {
    return reason;
  }

  void look(boolean connected) {
    if (!connected) {
      reason = ask();
    }
  }

  private String ask() {
    String server = address + ":" + port;
    try {
      HttpURLConnection http =
          (HttpURLConnection) new URL("http", address, port, "/api/servers/query").openConnection();
      http.setConnectTimeout(TIMEOUT_MS);
      http.setReadTimeout(TIMEOUT_MS);
      try {
        if (http.getResponseCode() != HttpURLConnection.HTTP_OK) {
          return server + " answers HTTP " + http.getResponseCode();
        }
        try (InputStream body = http.getInputStream()) {
          String servers = new String(body.readAllBytes(), StandardCharsets.UTF_8).strip();
          return servers.isEmpty() ? server + " names no session server" : "not yet connected to any of " + servers;
        }
      } finally {
        http.disconnect();
      }
    } catch (UnknownHostException e) {
      return "the name " + address + " does not resolve";
    } catch (ConnectException e) {
      return server + " does not accept a connection: " + e.getMessage();
    } catch (SocketTimeoutException e) {
      return server + " does not answer within " + TIMEOUT_MS + " ms";
    } catch (IOException e) {
      return server + " cannot be asked: " + e.getMessage();
    }
  }
}
