package sofa.client;

import com.alipay.sofa.registry.client.api.Configurator;
import com.alipay.sofa.registry.client.api.Subscriber;
import com.alipay.sofa.registry.client.task.ObserverHandler;

/**
 * Calls the observer on the thread that notifies. The SDK's own handler hands it to a thread pool instead, which hides
 * who notified (see {@link PushObserver}) and lets two pushes of one dataId overtake each other.
 */
final class DirectObserverHandler implements ObserverHandler {
  /** One lock for reading and noting: what is noted last is what the SDK holds last. */
  @Override
  public synchronized void notify(Subscriber subscriber) {
    subscriber.getDataObserver().handleData(subscriber.getDataId(), subscriber.peekData());
  }

  @Override
  public void notify(Configurator configurator) {
    // This client registers no configurator.
  }
}
