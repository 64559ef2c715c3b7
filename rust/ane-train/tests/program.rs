//! Programs and kernels: the level below training.

mod common;

use ane_train::*;
use common::*;

const SOURCE: &str = r#"program(1.3)
{
    func main<ios18>(tensor<fp32, [1, 4]> w, tensor<fp32, [1, 4]> x) {
        tensor<fp32, [1, 4]> squared = mul(x = x, y = x)[name = string("squared")];
        tensor<fp32, [1, 4]> weighted = mul(x = squared, y = w)[name = string("weighted")];
        tensor<int32, [1]> axes = const()[name = string("axes"), val = tensor<int32, [1]>([1])];
        bool keep = const()[name = string("keep"), val = bool(true)];
        tensor<fp32, [1, 1]> y = reduce_sum(x = weighted, axes = axes, keep_dims = keep)[name = string("y")];
    } -> (y);
}
"#;

fn run(kernel: &mut Kernel, inputs: &[&[f32]]) -> Vec<Vec<f32>> {
    let mut bound = Vec::new();
    for (index, values) in inputs.iter().enumerate() {
        let mut buffer = kernel.create_buffer(Direction::Input, index).unwrap();
        buffer.write(values).unwrap();
        bound.push(buffer);
    }
    let count = kernel.ports(Direction::Output).unwrap().len();
    let mut outputs: Vec<_> =
        (0..count).map(|i| kernel.create_buffer(Direction::Output, i).unwrap()).collect();
    let inputs: Vec<_> = bound.iter().collect();
    kernel.run(&inputs, &mut outputs.iter_mut().collect::<Vec<_>>()).unwrap();
    outputs.iter().map(|buffer| buffer.read().unwrap()).collect()
}

#[test]
fn a_program_runs_and_is_differentiated() {
    let (device, program) = (device(), Program::parse(SOURCE).unwrap());
    let (w, x) = ([0.5, 1.0, 2.0, 4.0], [1.0, 2.0, 3.0, 4.0]);
    let mut kernel = Kernel::compile(&device, &program, None).unwrap();
    assert_eq!(run(&mut kernel, &[&w, &x]), [[86.5]]); // 0.5 + 4 + 18 + 64
    let statistics = kernel.statistics().unwrap();
    assert_eq!(statistics.runs, 1);
    assert!(statistics.op_count > 0);
    assert_eq!(kernel.placement().unwrap().location, "cpu");

    let options = DifferentiateOptions::new().taps(Taps::None);
    let derivative = program.differentiate(Some("main"), &options).unwrap();
    assert_eq!(derivative.functions(), ["main", "main_backward"]);
    let mut backward = Kernel::compile(&device, &derivative, Some("main_backward")).unwrap();
    // dy/dw = x * x, dy/dx = 2 * x * w
    let gradients = run(&mut backward, &[&w, &x, &[1.0]]);
    assert_eq!(gradients, [[1.0, 4.0, 9.0, 16.0], [1.0, 4.0, 12.0, 32.0]]);
}

#[test]
fn ports_have_names_and_shapes() {
    let program = Program::parse(SOURCE).unwrap();
    let inputs = program.ports(None, Direction::Input).unwrap();
    let names: Vec<_> = inputs.iter().map(|port| port.name.as_str()).collect();
    assert_eq!(names, ["w", "x"]);
    assert_eq!(inputs[0].desc.shape, [1, 4]);
    assert_eq!(inputs[0].desc.data_type, DataType::Fp32);
    assert_eq!(kind(program.ports(Some("other"), Direction::Output)), ErrorKind::NotFound);
    let one = DifferentiateOptions::new().inputs(&["x"]).outputs(&["y"]);
    let derivative = program.differentiate(None, &one).unwrap();
    let outputs = derivative.ports(Some("main_backward"), Direction::Output).unwrap();
    assert_eq!(outputs.len(), 1);
    assert_eq!(outputs[0].name, "d_x");
    let absent = DifferentiateOptions::new().inputs(&["z"]);
    assert_eq!(kind(program.differentiate(None, &absent)), ErrorKind::NotFound);
}

#[test]
fn text_comes_back_and_mistakes_have_a_place() {
    let program = Program::parse(SOURCE).unwrap();
    let again = Program::parse(program.text().unwrap()).unwrap();
    assert_eq!(again.text().unwrap(), program.text().unwrap());
    let error = Program::parse("program(1.3)\n{\n  oops\n}\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidProgram);
    assert_eq!(error.line(), Some(3));
    assert!(error.column().is_some());
    assert!(error.to_string().contains(" at 3:"), "{error}");
    let folder = Folder::new();
    let path = folder.write("program.mil", SOURCE);
    assert_eq!(Program::load(path).unwrap().functions(), ["main"]);
    assert_eq!(kind(Program::load(folder.path("absent.mil"))), ErrorKind::FileNotFound);
}

#[test]
fn blobs_hold_weights() {
    const WITH_BLOB: &str = r#"program(1.3)
{
    func main<ios18>(tensor<fp32, [4]> x) {
        tensor<fp32, [4]> w = const()[name = string("w"), val = tensor<fp32, [4]>(BLOBFILE(path = string("@model_path/w.bin"), offset = uint64(64)))];
        tensor<fp32, [4]> y = mul(x = x, y = w)[name = string("y")];
    } -> (y);
}
"#;
    let blob = BlobFile { path: "@model_path/w.bin", data: &[0; 16] };
    assert_eq!(kind(Program::parse_with_blobs(WITH_BLOB, &[blob])), ErrorKind::InvalidBlob);
    // One entry of fp32: a file header of 64 bytes, then 0xdeadbeef, type 2, size, offset.
    let mut data = vec![0u8; 128];
    data[0] = 1;
    data[4] = 2;
    data[64..68].copy_from_slice(&0xdead_beef_u32.to_le_bytes());
    data[68] = 2;
    data[72] = 16;
    data[80] = 128;
    for value in [1.0f32, 10.0, 100.0, 1000.0] {
        data.extend(value.to_le_bytes());
    }
    let blob = BlobFile { path: "@model_path/w.bin", data: &data };
    let program = Program::parse_with_blobs(WITH_BLOB, &[blob]).unwrap();
    let mut kernel = Kernel::compile(&device(), &program, None).unwrap();
    assert_eq!(run(&mut kernel, &[&[1.0, 2.0, 3.0, 4.0]]), [[1.0, 20.0, 300.0, 4000.0]]);
}

#[test]
fn mistakes_in_a_run_are_named() {
    let (device, program) = (device(), Program::parse(SOURCE).unwrap());
    let mut kernel = Kernel::compile(&device, &program, None).unwrap();
    let mut output = kernel.create_buffer(Direction::Output, 0).unwrap();
    let input = kernel.create_buffer(Direction::Input, 0).unwrap();
    let too_few = kernel.run(&[&input], &mut [&mut output]);
    assert_eq!(kind(too_few), ErrorKind::InvalidArgument);
    let mapped = input.map_read::<f32>().unwrap();
    let busy = kernel.run(&[&input, &input], &mut [&mut output]);
    assert_eq!(kind(busy), ErrorKind::Busy);
    drop(mapped);
    kernel.run(&[&input, &input], &mut [&mut output]).unwrap();
    assert_eq!(kind(kernel.create_buffer(Direction::Output, 1)), ErrorKind::OutOfRange);
    assert_eq!(kind(Kernel::compile(&device, &program, Some("no"))), ErrorKind::NotFound);
}

#[test]
fn products_are_quantized() {
    const LINEAR: &str = r#"program(1.3)
{
    func main<ios18>(tensor<fp32, [1, 4]> x) {
        tensor<fp32, [2, 4]> w = const()[name = string("w"), val = tensor<fp32, [2, 4]>([1, 2, 3, 4, 4, 3, 2, 1])];
        tensor<fp32, [2]> b = const()[name = string("b"), val = tensor<fp32, [2]>([0, 0])];
        tensor<fp32, [1, 2]> y = linear(x = x, weight = w, bias = b)[name = string("y")];
    } -> (y);
}
"#;
    let (device, program) = (device(), Program::parse(LINEAR).unwrap());
    let mut sample = Buffer::new(&device, &TensorDesc::new(DataType::Fp32, &[1, 4])).unwrap();
    sample.write(&[1.0f32, -1.0, 0.5, 2.0]).unwrap();
    let options = ProgramQuantizeOptions::new();
    let quantized = program.quantize(&device, None, &[&sample], &options).unwrap();
    assert!(quantized.text().unwrap().contains("constexpr_affine_dequantize"));
    let mut kernel = Kernel::compile(&device, &quantized, None).unwrap();
    let seen = run(&mut kernel, &[&[1.0, -1.0, 0.5, 2.0]]);
    // 8.5 and 4 in exact numbers; 8 bits are some percent off.
    assert!((seen[0][0] - 8.5).abs() < 0.3 && (seen[0][1] - 4.0).abs() < 0.3, "{seen:?}");
    let nothing = Program::parse(SOURCE).unwrap().quantize(&device, None, &[&sample; 2], &options);
    assert_eq!(kind(nothing), ErrorKind::Unsupported);
    let no_samples = program.quantize(&device, None, &[], &options);
    assert_eq!(kind(no_samples), ErrorKind::InvalidArgument);
}
