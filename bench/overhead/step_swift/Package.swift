// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "OverheadStep",
  platforms: [.macOS(.v14)],
  dependencies: [.package(path: "../../../swift")],
  targets: [
    .executableTarget(
      name: "OverheadStep", dependencies: [.product(name: "AneTrain", package: "swift")])
  ],
  swiftLanguageModes: [.v6]
)
