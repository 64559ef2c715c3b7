// swift-tools-version: 6.2
import PackageDescription

// A package of its own, as an application's would be. Its folder cannot be called swift as ours is:
// SwiftPM tells packages apart by that name.
let package = Package(
  name: "Finetune",
  platforms: [.macOS(.v14)],
  dependencies: [.package(path: "../../../swift")],
  targets: [
    .executableTarget(
      name: "Finetune", dependencies: [.product(name: "AneTrain", package: "swift")])
  ],
  swiftLanguageModes: [.v6]
)
