package sofa.client;

import com.alipay.sofa.registry.client.api.SubscriberDataObserver;
import com.alipay.sofa.registry.client.api.model.UserData;
import com.alipay.sofa.registry.client.task.SyncConfigThread;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Notes every call of the observer, and by its call stack who made it. The SDK notifies from two places only:
 * {@code ReceivedDataProcessor} for a push of the server, and {@link SyncConfigThread}, which every 30 s asks the
 * server for the segments and notifies each subscriber for which they are new, even one that never got a push. That
 * empty list was not sent by any server. Whatever is not clearly the SDK's own call counts as the server's.
 */
final class PushObserver implements SubscriberDataObserver {
  private static final StackWalker STACK = StackWalker.getInstance(StackWalker.Option.RETAIN_CLASS_REFERENCE);

  private final Ledger ledger;

  PushObserver(Ledger ledger) {
    this.ledger = ledger;
  }

  @Override
  public void handleData(String dataId, UserData data) {
    boolean selfCalled =
        STACK.walk(frames -> frames.anyMatch(frame -> frame.getDeclaringClass() == SyncConfigThread.class));
    Map<String, List<String>> zones = data == null ? null : data.getZoneData();
    List<String> values = zones == null ? List.of()
        : new TreeMap<>(zones).values().stream().flatMap(Collection::stream).toList();
    ledger.pushed(dataId, values, selfCalled);
  }
}
