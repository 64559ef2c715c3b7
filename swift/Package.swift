// swift-tools-version: 6.2
import PackageDescription

// The C library: one that pkg-config finds or, for Apple's platforms, the framework that
// scripts/xcframework.sh made, by its path from this folder.
let library: Target =
  if let path = Context.environment["ANE_TRAIN_XCFRAMEWORK"] {
    .binaryTarget(name: "CAneTrain", path: path)
  } else {
    .systemLibrary(name: "CAneTrain", pkgConfig: "ane_train")
  }

let package = Package(
  name: "AneTrain",
  platforms: [.macOS(.v14), .iOS(.v17)],
  products: [
    .library(name: "AneTrain", targets: ["AneTrain"])
  ],
  targets: [
    library,
    .target(name: "AneTrain", dependencies: ["CAneTrain"]),
    .testTarget(name: "AneTrainTests", dependencies: ["AneTrain", "CAneTrain"]),
  ],
  swiftLanguageModes: [.v6]
)
