package sofa;

import tech.powerjob.worker.core.processor.ProcessResult;
import tech.powerjob.worker.core.processor.TaskContext;
import tech.powerjob.worker.core.processor.sdk.BasicProcessor;

/** A processor whose runs are noted in {@link Runs}. */
abstract class Recorded implements BasicProcessor {
  /** Does the job; what it throws makes the run a failed one. */
  abstract String work(String params) throws Exception;

  @Override
  public final ProcessResult process(TaskContext context) {
    // The parameters of the one instance go before those of the job.
    String instance = context.getInstanceParams();
    String params = instance == null || instance.isBlank() ? context.getJobParams() : instance;
    Runs.Run run = Runs.begin(context, params == null ? "" : params.strip());
    ProcessResult result;
    try {
      result = new ProcessResult(true, work(run.params()));
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      result = new ProcessResult(false, "interrupted");
    } catch (Exception e) {
      result = new ProcessResult(false, e.getMessage());
    }
    Runs.end(run, result);
    return result;
  }
}
