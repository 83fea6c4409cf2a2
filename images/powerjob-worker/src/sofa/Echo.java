package sofa;

/** Answers its parameter at once. */
public final class Echo extends Recorded {
  @Override
  String work(String params) {
    return params;
  }
}
