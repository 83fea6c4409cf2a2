package sofa.client;

import com.fasterxml.jackson.annotation.JsonInclude;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What was published and what came back, in order. Every method holds the same lock, so that an answer never mixes
 * two moments.
 */
final class Ledger {
  /** Enough for hours of rollouts; the oldest events go first. The counters are not touched by that. */
  private static final int MAX_EVENTS = 50_000;

  enum Type { published, registered, pushed }

  /** One thing that happened; {@code role} is set for {@link Type#registered} only. */
  @JsonInclude(JsonInclude.Include.NON_NULL)
  record Event(
      long seq, long at, Type type, String dataId, List<String> values, boolean empty, boolean selfCalled,
      String role) {}

  /** The state of one dataId; {@code at} is the time of the last call of the observer. */
  record Value(String published, List<String> receivedValues, Long at) {}

  /** Calls with an empty list: by a push of the server, and by the SDK's own timer. */
  record Empty(long fromServer, long selfCalled) {}

  /** The ledger's part of the status. {@code emptied}: those empty calls that took values away. */
  record Summary(
      int dataIds, int published, int received, List<String> missing, Empty emptyPushes, Empty emptied,
      long pushesTotal, long selfCallsTotal, Long lastPushAt, long firstEvent, long lastEvent) {}

  private final Options options;
  private final ArrayDeque<Event> events = new ArrayDeque<>();
  private final Map<String, Value> values = new LinkedHashMap<>();
  private long seq;
  private Empty empty = new Empty(0, 0);
  private Empty emptied = new Empty(0, 0);
  private long pushes;
  private long selfCalls;
  private Long lastPushAt;

  Ledger(Options options) {
    this.options = options;
    options.dataIds().forEach(id -> values.put(id, new Value(null, List.of(), null)));
  }

  synchronized void published(String dataId, String value) {
    values.computeIfPresent(dataId, (id, old) -> new Value(value, old.receivedValues, old.at));
    add(Type.published, dataId, List.of(value), false, null);
  }

  /** The server has acknowledged the publisher or the subscriber of the dataId. */
  synchronized void registered(String dataId, String role) {
    add(Type.registered, dataId, List.of(), false, role);
  }

  /** The observer was called: by a push of the server, or ({@code selfCalled}) by the SDK's own timer. */
  synchronized void pushed(String dataId, List<String> received, boolean selfCalled) {
    long at = add(Type.pushed, dataId, received, selfCalled, null);
    Value old = values.put(dataId, new Value(values.get(dataId).published, received, at));
    if (selfCalled) {
      selfCalls++;
    } else {
      pushes++;
      lastPushAt = at;
    }
    if (received.isEmpty()) {
      empty = count(empty, selfCalled);
      if (!old.receivedValues.isEmpty()) {
        emptied = count(emptied, selfCalled);
      }
    }
  }

  synchronized List<Event> since(long after) {
    return events.stream().filter(event -> event.seq > after).toList();
  }

  synchronized Map<String, Value> values() {
    return new LinkedHashMap<>(values);
  }

  synchronized Summary summary() {
    List<String> missing = new ArrayList<>();
    int published = 0;
    for (Map.Entry<String, Value> entry : values.entrySet()) {
      Value value = entry.getValue();
      published += value.published == null ? 0 : 1;
      boolean here = options.publish()
          ? value.published != null && value.receivedValues.contains(value.published)
          : !value.receivedValues.isEmpty();
      if (!here) {
        missing.add(entry.getKey());
      }
    }
    int received = values.size() - missing.size();
    return new Summary(values.size(), published, received, options.subscribe() ? missing : List.of(), empty, emptied,
        pushes, selfCalls, lastPushAt, events.isEmpty() ? 0 : events.peekFirst().seq, seq);
  }

  private long add(Type type, String dataId, List<String> list, boolean selfCalled, String role) {
    long at = System.currentTimeMillis();
    boolean isEmpty = type == Type.pushed && list.isEmpty();
    events.addLast(new Event(++seq, at, type, dataId, list, isEmpty, selfCalled, role));
    if (events.size() > MAX_EVENTS) {
      events.removeFirst();
    }
    return at;
  }

  private static Empty count(Empty old, boolean selfCalled) {
    return selfCalled
        ? new Empty(old.fromServer, old.selfCalled + 1)
        : new Empty(old.fromServer + 1, old.selfCalled);
  }
}
