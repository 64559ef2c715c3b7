// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "AneTrain",
  platforms: [.macOS(.v14), .iOS(.v17)],
  products: [
    .library(name: "AneTrain", targets: ["AneTrain"])
  ],
  targets: [
    .systemLibrary(name: "CAneTrain", pkgConfig: "ane_train"),
    .target(name: "AneTrain", dependencies: ["CAneTrain"]),
    .testTarget(name: "AneTrainTests", dependencies: ["AneTrain", "CAneTrain"]),
  ],
  swiftLanguageModes: [.v6]
)
