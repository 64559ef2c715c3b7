import CAneTrain

/// The C library that is loaded.
public enum AneTrainLibrary {
  /// "0.1.0".
  public static var version: String {
    String(cString: anet_version_string())
  }

  /// 10000 * major + 100 * minor + patch.
  public static var versionNumber: Int {
    Int(anet_version_number())
  }

  /// The number of the binary interface, in the library's file name. This package refuses to make
  /// anything with another than it was compiled for.
  public static var abiVersion: Int {
    Int(anet_abi_version())
  }

  /// One line: version, compiler, devices built in.
  public static var buildInfo: String {
    String(cString: anet_build_info())
  }

  static let mismatch: AneTrainError? =
    anet_abi_version() == UInt32(ANET_ABI_VERSION)
    ? nil
    : AneTrainError(
      .version,
      "expected libane_train with ABI \(ANET_ABI_VERSION), seen \(anet_abi_version())")
}
