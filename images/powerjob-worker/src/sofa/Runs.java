package sofa;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import tech.powerjob.worker.core.processor.ProcessResult;
import tech.powerjob.worker.core.processor.TaskContext;

/**
 * The runs of this worker. Static, because PowerJob makes the processors itself, by class name and without arguments.
 */
final class Runs {
  /** The oldest go first; the counts keep them. */
  private static final int MAX_RUNS = 1_000;

  /** One run; {@code endedAt}, {@code success} and {@code result} are null while it runs. */
  record Run(long seq, String instanceId, long jobId, String params, long startedAt, Long endedAt, Boolean success,
      String result) {}

  record Counts(long started, long running, long succeeded, long failed) {}

  private static final Map<Long, Run> RUNS = new LinkedHashMap<>();
  private static long started;
  private static long succeeded;
  private static long failed;

  private Runs() {}

  static synchronized Run begin(TaskContext context, String params) {
    // The instance id as text: it has 19 digits, more than a JSON number keeps in many readers.
    Run run = new Run(++started, Long.toString(context.getInstanceId()), context.getJobId(), params,
        System.currentTimeMillis(), null, null, null);
    RUNS.put(run.seq, run);
    if (RUNS.size() > MAX_RUNS) {
      RUNS.remove(RUNS.keySet().iterator().next());
    }
    return run;
  }

  static synchronized void end(Run run, ProcessResult result) {
    if (result.isSuccess()) {
      succeeded++;
    } else {
      failed++;
    }
    RUNS.computeIfPresent(run.seq, (seq, old) -> new Run(seq, old.instanceId, old.jobId, old.params, old.startedAt,
        System.currentTimeMillis(), result.isSuccess(), result.getMsg()));
  }

  static synchronized Counts counts() {
    return new Counts(started, started - succeeded - failed, succeeded, failed);
  }

  static synchronized List<Run> last() {
    return new ArrayList<>(RUNS.values());
  }
}
