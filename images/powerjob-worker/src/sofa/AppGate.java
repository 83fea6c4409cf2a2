package sofa;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Waits until a server knows the app. PowerJob's own start gives up at the first answer and leaves its threads and its
 * port behind, so it cannot simply be tried again. The question elects no server: it only looks the name up.
 */
final class AppGate {
  private static final int TIMEOUT_MS = 3_000;
  private static final int RETRY_SECONDS = 2;
  private static final ObjectMapper JSON = new ObjectMapper();

  private final String app;
  private final List<String> servers;
  private volatile String reason = "the servers have not been asked yet";

  AppGate(String app, List<String> servers) {
    this.app = app;
    this.servers = servers;
  }

  /** What the last server said; null once the app is known. */
  String reason() {
    return reason;
  }

  /** Returns when a server knows the app; a reason is printed when it is new. */
  void await() throws InterruptedException {
    String printed = null;
    while ((reason = ask()) != null) {
      if (!reason.equals(printed)) {
        printed = reason;
        System.out.println("powerjob-worker: waiting for app " + app + ": " + reason);
      }
      // There is nothing to wait on: only the server knows, and it calls nobody.
      TimeUnit.SECONDS.sleep(RETRY_SECONDS);
    }
  }

  private String ask() {
    String last = null;
    for (String server : servers) {
      try {
        JsonNode answer = get(server);
        if (answer.path("success").asBoolean()) {
          return null;
        }
        last = server + " says: " + answer.path("message").asText();
      } catch (IOException e) {
        last = server + " cannot be asked: " + e;
      }
    }
    return last;
  }

  private JsonNode get(String server) throws IOException {
    URL url = new URL("http://" + server + "/server/assert?appName=" + URLEncoder.encode(app, StandardCharsets.UTF_8));
    HttpURLConnection http = (HttpURLConnection) url.openConnection();
    http.setConnectTimeout(TIMEOUT_MS);
    http.setReadTimeout(TIMEOUT_MS);
    try (InputStream body = http.getInputStream()) {
      return JSON.readTree(body);
    } finally {
      http.disconnect();
    }
  }
}
