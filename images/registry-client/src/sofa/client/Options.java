package sofa.client;

import com.alipay.sofa.registry.core.model.ScopeEnum;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** What the environment tells the client. A wrong value is an {@link IllegalArgumentException} with one sentence. */
record Options(
    String address,
    int port,
    String dataCenter,
    String instanceId,
    String zone,
    ScopeEnum scope,
    String appName,
    String clientName,
    List<String> dataIds,
    boolean publish,
    boolean subscribe,
    int httpPort) {

  static Options from(Map<String, String> env) {
    String address = text(env, "REGISTRY_ADDRESS", "");
    if (!address.matches("[A-Za-z0-9._-]+")) {
      throw new IllegalArgumentException(
          "REGISTRY_ADDRESS=" + address + " is not the host name or IPv4 address of the session servers");
    }
    int count = number(env, "DATA_IDS", 50, 1, 100_000);
    String prefix = text(env, "DATA_ID_PREFIX", "com.sofa.client.");
    Options options = new Options(
        address,
        number(env, "REGISTRY_PORT", 9603, 1, 65_535),
        text(env, "DATA_CENTER", "DefaultDataCenter"),
        text(env, "INSTANCE_ID", "DEFAULT_INSTANCE_ID"),
        text(env, "ZONE", "DEFAULT_ZONE"),
        scope(text(env, "SCOPE", ScopeEnum.zone.name())),
        text(env, "APP_NAME", "registry-client"),
        text(env, "CLIENT_NAME", ""),
        IntStream.range(0, count).mapToObj(i -> prefix + i).toList(),
        flag(env, "PUBLISH"),
        flag(env, "SUBSCRIBE"),
        number(env, "HTTP_PORT", 8080, 1, 65_535));
    if (!options.publish && !options.subscribe) {
      throw new IllegalArgumentException("PUBLISH and SUBSCRIBE are both false: there is nothing to do");
    }
    return options;
  }

  /** The value of a dataId at a version. CLIENT_NAME tells apart clients that publish the same dataIds. */
  String value(String dataId, long version) {
    return dataId + " v" + version + (clientName.isEmpty() ? "" : " " + clientName);
  }

  private static String text(Map<String, String> env, String name, String fallback) {
    String value = env.getOrDefault(name, "").strip();
    return value.isEmpty() ? fallback : value;
  }

  private static int number(Map<String, String> env, String name, int fallback, int min, int max) {
    String value = text(env, name, Integer.toString(fallback));
    try {
      int number = Integer.parseInt(value);
      if (number >= min && number <= max) {
        return number;
      }
    } catch (NumberFormatException e) {
      // The sentence below says it.
    }
    throw new IllegalArgumentException(name + "=" + value + " is not a number from " + min + " to " + max);
  }

  private static boolean flag(Map<String, String> env, String name) {
    String value = text(env, name, "true");
    return switch (value) {
      case "true" -> true;
      case "false" -> false;
      default -> throw new IllegalArgumentException(name + "=" + value + " is neither true nor false");
    };
  }

  private static ScopeEnum scope(String value) {
    return Arrays.stream(ScopeEnum.values()).filter(s -> s.name().equals(value)).findFirst().orElseThrow(() ->
        new IllegalArgumentException("SCOPE=" + value + " is none of " + Arrays.toString(ScopeEnum.values())));
  }
}
