package sofa.client;

import com.alipay.sofa.registry.client.provider.DefaultRegistryClient;
import com.fasterxml.jackson.annotation.JsonUnwrapped;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;

/** The HTTP side: every answer is JSON, a mistake of the caller is 400 with one sentence. */
final class Api {
  private static final ObjectMapper JSON = new ObjectMapper();

  private record Health(String status) {}

  private record Problem(String error) {}

  private record Republished(long version, int count) {}

  private record Status(
      String sdk, long startedAt, @JsonUnwrapped Registry.State registry, @JsonUnwrapped Ledger.Summary ledger) {}

  private final long startedAt = System.currentTimeMillis();
  private final Ledger ledger;
  private final Registry registry;

  private Api(Ledger ledger, Registry registry) {
    this.ledger = ledger;
    this.registry = registry;
  }

  static void serve(int port, Ledger ledger, Registry registry) throws IOException {
    HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
    // More than one, so that a caller who does not read his answer stops nobody else.
    server.setExecutor(Executors.newFixedThreadPool(4));
    server.createContext("/", new Api(ledger, registry)::handle);
    server.start();
  }

  private void handle(HttpExchange exchange) throws IOException {
    int code = 200;
    Object answer;
    try {
      Map<String, String> query = query(exchange.getRequestURI().getRawQuery());
      answer = switch (exchange.getRequestMethod() + " " + exchange.getRequestURI().getPath()) {
        case "GET /health" -> new Health("up");
        case "GET /status" -> new Status(sdkVersion(), startedAt, registry.state(), ledger.summary());
        case "GET /events" -> ledger.since(number(query, "since", 0));
        case "GET /values" -> ledger.values();
        case "POST /republish" -> republish(query);
        default -> null;
      };
      if (answer == null) {
        code = 404;
        answer = new Problem("there is GET /health, /status, /events, /values and POST /republish");
      }
    } catch (IllegalArgumentException e) {
      code = 400;
      answer = new Problem(e.getMessage());
    } catch (RuntimeException e) {
      // Such as the SDK's refusal to republish what the server refused: the caller must see it.
      code = 500;
      answer = new Problem(e.toString());
    }
    byte[] body = JSON.writeValueAsBytes(answer);
    exchange.getResponseHeaders().set("Content-Type", "application/json");
    exchange.sendResponseHeaders(code, body.length);
    try (exchange) {
      exchange.getResponseBody().write(body);
    }
  }

  private Republished republish(Map<String, String> query) {
    List<String> published = registry.publishedIds();
    List<String> ids = query.containsKey("ids") ? List.of(query.get("ids").split(",")) : published;
    for (String id : ids) {
      if (!published.contains(id)) {
        throw new IllegalArgumentException("this client does not publish " + id);
      }
    }
    ids = ids.stream().distinct().limit(number(query, "count", ids.size())).toList();
    if (ids.isEmpty()) {
      throw new IllegalArgumentException("there is nothing to republish");
    }
    return new Republished(registry.republish(ids), ids.size());
  }

  private static Map<String, String> query(String raw) {
    Map<String, String> query = new HashMap<>();
    for (String pair : raw == null ? new String[0] : raw.split("&")) {
      String[] both = pair.split("=", 2);
      query.put(both[0], both.length == 1 ? "" : URLDecoder.decode(both[1], StandardCharsets.UTF_8));
    }
    return query;
  }

  private static long number(Map<String, String> query, String name, long fallback) {
    String value = query.getOrDefault(name, Long.toString(fallback));
    try {
      long number = Long.parseLong(value);
      if (number >= 0) {
        return number;
      }
    } catch (NumberFormatException e) {
      // The sentence below says it.
    }
    throw new IllegalArgumentException(name + "=" + value + " is not a number from 0 on");
  }

  /** From the SDK's own jar, not from what the start script was asked for. */
  private static String sdkVersion() {
    String jar = DefaultRegistryClient.class.getProtectionDomain().getCodeSource().getLocation().getPath();
    return jar.replaceFirst(".*/registry-client-all-(.*)\\.jar", "$1");
  }
}
