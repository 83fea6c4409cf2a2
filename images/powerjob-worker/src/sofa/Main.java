package sofa;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.Inet4Address;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.NetworkInterface;
import java.net.SocketException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import tech.powerjob.common.PowerJobDKey;
import tech.powerjob.common.enums.Protocol;
import tech.powerjob.worker.PowerJobWorker;
import tech.powerjob.worker.common.PowerJobWorkerConfig;
import tech.powerjob.worker.common.constants.StoreStrategy;

/** A worker whose runs can be read over HTTP. All options come from the environment. */
public final class Main extends PowerJobWorker {
  private record Health(String status) {}

  private record Problem(String error) {}

  /** {@code reason} says why the worker has no server; {@code currentServer} is the server it reports to. */
  private record Status(String app, List<String> servers, String protocol, String workerAddress, String currentServer,
      String reason, Runs.Counts counts, List<Runs.Run> instances) {}

  private static final ObjectMapper JSON = new ObjectMapper();

  private final PowerJobWorkerConfig config;
  private final AppGate gate;
  private volatile boolean initialised;

  private Main(PowerJobWorkerConfig config) {
    super(config);
    this.config = config;
    this.gate = new AppGate(config.getAppName(), config.getServerAddress());
  }

  /** Serves HTTP first, so that it can say what the worker waits for. */
  public static void main(String[] args) {
    Map<String, String> env = System.getenv();
    try {
      System.setProperty(PowerJobDKey.BIND_LOCAL_ADDRESS, address(env));
      Main worker = new Main(config(env));
      worker.serve(port(env));
      worker.gate.await();
      worker.init();
      worker.initialised = true;
      System.out.println("powerjob-worker: started as " + worker.workerRuntime.getWorkerAddress());
    } catch (IllegalArgumentException e) {
      System.err.println("powerjob-worker: " + e.getMessage());
      System.exit(2);
    } catch (Throwable e) {
      // Nothing is retried here; without the exit the HTTP thread would keep a dead worker alive.
      e.printStackTrace();
      System.exit(1);
    }
  }

  private static PowerJobWorkerConfig config(Map<String, String> env) {
    PowerJobWorkerConfig config = new PowerJobWorkerConfig();
    config.setAppName(needed(env, "POWERJOB_APP"));
    config.setServerAddress(List.of(needed(env, "POWERJOB_SERVERS").split("\\s*,\\s*")));
    for (String server : config.getServerAddress()) {
      if (!server.matches("[A-Za-z0-9._-]+:[0-9]+")) {
        throw new IllegalArgumentException("POWERJOB_SERVERS has " + server + ", which is not host:port");
      }
    }
    String protocol = env.getOrDefault("POWERJOB_PROTOCOL", "HTTP");
    config.setProtocol(switch (protocol) {
      case "HTTP" -> Protocol.HTTP;
      case "AKKA" -> Protocol.AKKA;
      default -> throw new IllegalArgumentException("POWERJOB_PROTOCOL=" + protocol + " is neither HTTP nor AKKA");
    });
    config.setStoreStrategy(StoreStrategy.MEMORY);
    // A server that goes away between the gate and the start must not end the worker: PowerJob then asks every 10 s.
    config.setAllowLazyConnectServer(true);
    return config;
  }

  /** Without this PowerJob asks the servers to connect to each address of the host, which can take long. */
  private static String address(Map<String, String> env) throws SocketException {
    String given = env.getOrDefault("WORKER_ADDRESS", "").strip();
    return !given.isEmpty() ? given : NetworkInterface.networkInterfaces()
        .flatMap(NetworkInterface::inetAddresses)
        .filter(address -> address instanceof Inet4Address && !address.isLoopbackAddress())
        .map(InetAddress::getHostAddress)
        .findFirst()
        .orElseThrow(() -> new IllegalArgumentException("the host has no IPv4 address: set WORKER_ADDRESS"));
  }

  private static String needed(Map<String, String> env, String name) {
    String value = env.getOrDefault(name, "").strip();
    if (value.isEmpty()) {
      throw new IllegalArgumentException(name + " must be set");
    }
    return value;
  }

  private static int port(Map<String, String> env) {
    String value = env.getOrDefault("HTTP_PORT", "8080");
    if (!value.matches("[0-9]{1,5}") || Integer.parseInt(value) < 1 || Integer.parseInt(value) > 65_535) {
      throw new IllegalArgumentException("HTTP_PORT=" + value + " is not a port");
    }
    return Integer.parseInt(value);
  }

  private void serve(int port) throws IOException {
    HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
    server.setExecutor(Executors.newFixedThreadPool(2));
    server.createContext("/", this::handle);
    server.start();
  }

  private void handle(HttpExchange exchange) throws IOException {
    Object answer = switch (exchange.getRequestMethod() + " " + exchange.getRequestURI().getPath()) {
      case "GET /health" -> new Health("up");
      case "GET /status" -> status();
      default -> new Problem("there is GET /health and GET /status");
    };
    byte[] body = JSON.writeValueAsBytes(answer);
    exchange.getResponseHeaders().set("Content-Type", "application/json");
    exchange.sendResponseHeaders(answer instanceof Problem ? 404 : 200, body.length);
    try (exchange) {
      exchange.getResponseBody().write(body);
    }
  }

  private Status status() {
    String server = initialised ? workerRuntime.getServerDiscoveryService().getCurrentServerAddress() : null;
    String reason = gate.reason() != null ? gate.reason()
        : !initialised ? "starting"
        : server == null ? "no server of the list takes the worker" : null;
    return new Status(config.getAppName(), config.getServerAddress(), config.getProtocol().name(),
        initialised ? workerRuntime.getWorkerAddress() : null, server, reason, Runs.counts(), Runs.last());
  }
}
