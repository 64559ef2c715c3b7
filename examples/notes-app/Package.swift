// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "NotesApp",
  platforms: [.macOS(.v14), .iOS(.v17)],
  products: [
    .library(name: "NotesModel", targets: ["NotesModel"]),
    .executable(name: "NotesApp", targets: ["NotesApp"]),
  ],
  dependencies: [.package(path: "../../swift")],
  targets: [
    .target(
      name: "NotesModel", dependencies: [.product(name: "AneTrain", package: "swift")]),
    .executableTarget(name: "NotesApp", dependencies: ["NotesModel"]),
    .testTarget(name: "NotesModelTests", dependencies: ["NotesModel"]),
  ],
  swiftLanguageModes: [.v6]
)
