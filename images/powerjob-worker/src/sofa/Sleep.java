package sofa;

import java.util.concurrent.TimeUnit;

/** Takes as many seconds as its parameter says: a job that is still running when something happens to the servers. */
public final class Sleep extends Recorded {
  @Override
  String work(String params) throws InterruptedException {
    if (!params.matches("[0-9]{1,6}")) {
      throw new IllegalArgumentException("the parameter " + params + " is not a number of seconds");
    }
    TimeUnit.SECONDS.sleep(Long.parseLong(params));
    return "ok";
  }
}
