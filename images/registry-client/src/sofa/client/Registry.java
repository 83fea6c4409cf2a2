package sofa.client;

import com.alipay.remoting.Connection;
import com.alipay.remoting.ConnectionEventProcessor;
import com.alipay.remoting.ConnectionEventType;
import com.alipay.sofa.registry.client.api.Publisher;
import com.alipay.sofa.registry.client.api.Register;
import com.alipay.sofa.registry.client.api.registration.PublisherRegistration;
import com.alipay.sofa.registry.client.api.registration.SubscriberRegistration;
import com.alipay.sofa.registry.client.provider.DefaultRegistryClient;
import com.alipay.sofa.registry.client.provider.DefaultRegistryClientConfigBuilder;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * The SDK with everything that this client registers. The SDK connects, reconnects and registers again by itself, on
 * its own threads and for ever: nothing here waits for a server.
 */
final class Registry {
  /** The SDK tells nobody when the server acknowledged a registration: it is asked this often. */
  private static final long ACK_POLL_MS = 100;

  /** How often the session servers are asked why there is no connection. */
  private static final long PROBE_MS = 1_000;

  /** What the SDK tells of its connection and registrations; {@code reason} says why there is no connection. */
  record State(boolean connected, List<String> sessions, String reason, long version, int publishersRegistered,
      int subscribersRegistered) {}

  private record Role(Register register, String name) {}

  private final Options options;
  private final Ledger ledger;
  private final SessionProbe probe;
  private final DefaultRegistryClient client;
  private final Set<Connection> connections = ConcurrentHashMap.newKeySet();
  private final Map<String, Publisher> publishers = new LinkedHashMap<>();
  private final List<Role> roles = new ArrayList<>();
  private long version;

  Registry(Options options, Ledger ledger) {
    this.options = options;
    this.ledger = ledger;
    this.probe = new SessionProbe(options.address(), options.port());
    this.client = new DefaultRegistryClient(DefaultRegistryClientConfigBuilder.start()
        .setRegistryEndpoint(options.address())
        .setRegistryEndpointPort(options.port())
        .setDataCenter(options.dataCenter())
        .setInstanceId(options.instanceId())
        .setZone(options.zone())
        .setAppName(options.appName())
        .build());
    // The SDK keeps its connection to itself; these events are the public way to know of it.
    Map<ConnectionEventType, ConnectionEventProcessor> processors = new HashMap<>();
    processors.put(ConnectionEventType.CONNECT, (address, connection) -> connections.add(connection));
    processors.put(ConnectionEventType.CLOSE, (address, connection) -> connections.removeIf(c -> !c.isFine()));
    client.setConnectionEventProcessorMap(processors);
    client.setObserverHandler(new DirectObserverHandler());
  }

  synchronized void start() {
    client.init();
    if (options.publish()) {
      version = 1;
      for (String id : options.dataIds()) {
        String value = options.value(id, version);
        ledger.published(id, value);
        Publisher publisher = client.register(new PublisherRegistration(id), value);
        publishers.put(id, publisher);
        roles.add(new Role(publisher, "publisher"));
      }
    }
    if (options.subscribe()) {
      PushObserver observer = new PushObserver(ledger);
      for (String id : options.dataIds()) {
        SubscriberRegistration registration = new SubscriberRegistration(id, observer);
        registration.setScopeEnum(options.scope());
        roles.add(new Role(client.register(registration), "subscriber"));
      }
    }
    ScheduledExecutorService timer = Executors.newScheduledThreadPool(2);
    AckWatch watch = new AckWatch(List.copyOf(roles));
    timer.scheduleWithFixedDelay(watch, 0, ACK_POLL_MS, TimeUnit.MILLISECONDS);
    timer.scheduleWithFixedDelay(() -> probe.look(isConnected()), 0, PROBE_MS, TimeUnit.MILLISECONDS);
  }

  /** Publishes the next version of these dataIds and returns it. The ledger has the value before any push can come. */
  synchronized long republish(Collection<String> dataIds) {
    version++;
    for (String id : dataIds) {
      String value = options.value(id, version);
      ledger.published(id, value);
      publishers.get(id).republish(value);
    }
    return version;
  }

  synchronized List<String> publishedIds() {
    return List.copyOf(publishers.keySet());
  }

  synchronized State state() {
    boolean connected = isConnected();
    return new State(connected, connections.stream().filter(Connection::isFine)
        .map(c -> c.getRemoteIP() + ":" + c.getRemotePort()).toList(),
        connected ? null : probe.reason(), version, acknowledged("publisher"), acknowledged("subscriber"));
  }

  private boolean isConnected() {
    return connections.stream().anyMatch(Connection::isFine);
  }

  private int acknowledged(String name) {
    return (int) roles.stream().filter(role -> role.name.equals(name) && role.register.isRegistered()).count();
  }

  /**
   * Notes each acknowledgement once. The SDK sets a new timestamp whenever a registration must be sent again (new
   * value, new connection), so a registration is news if it is acknowledged and its timestamp was not seen before.
   */
  private final class AckWatch implements Runnable {
    private final List<Role> roles;
    private final long[] seen;

    AckWatch(List<Role> roles) {
      this.roles = roles;
      this.seen = new long[roles.size()];
    }

    @Override
    public void run() {
      for (int i = 0; i < seen.length; i++) {
        Register register = roles.get(i).register;
        long timestamp = register.getTimestamp();
        if (register.isRegistered() && timestamp != seen[i]) {
          seen[i] = timestamp;
          ledger.registered(register.getDataId(), roles.get(i).name);
        }
      }
    }
  }
}
