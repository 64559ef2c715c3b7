//! The Neural Engine's device, on the emulator of its framework. `make rust-test` runs these where the
//! emulator is built; ANE_TRAIN_TEST_EMULATOR names it.

mod common;

use ane_train::*;
use common::*;

/// y = x + x for 3 rows of 30 half floats: rows of 60 bytes, padded to 64.
const SUM: &str = r#"program(1.0)
{
    func main<ios16>(tensor<fp16, [1, 3, 1, 30]> x) {
        tensor<fp16, [1, 3, 1, 30]> y = add(x = x, y = x)[name = string("y")];
    } -> (y);
}
"#;

fn engine(folder: &Folder) -> Device {
    let emulator = std::env::var("ANE_TRAIN_TEST_EMULATOR").expect("the emulator's path");
    let ane = AneOptions::new()
        .framework_path(emulator)
        .cache_directory(folder.as_ref())
        .forward(Placement::Engine)
        .loss(Placement::Engine)
        .input_gradients(Placement::Engine)
        .weight_gradients(Placement::Engine)
        .programs(Placement::Engine);
    Device::open_with("ane", &DeviceOptions::new().threads(2).ane(ane)).unwrap()
}

/// The bits of small whole numbers.
fn half(value: u16) -> F16 {
    if value == 0 {
        return F16(0);
    }
    let exponent = 15 - value.leading_zeros() as u16;
    F16(((exponent + 15) << 10) | ((value << (10 - exponent)) & 0x3ff))
}

#[test]
#[ignore = "needs the emulator"]
fn surfaces_are_shared_and_their_rows_are_padded() {
    let folder = Folder::new();
    let device = engine(&folder);
    let mut kernel = Kernel::compile(&device, &Program::parse(SUM).unwrap(), None).unwrap();
    let desc = kernel.ports(Direction::Output).unwrap().remove(0).desc;
    assert_eq!(desc.strides[1], 64);
    let mut input = kernel.create_buffer(Direction::Input, 0).unwrap();
    let mut output = kernel.create_buffer(Direction::Output, 0).unwrap();
    let values: Vec<F16> = (0..90).map(half).collect();
    input.write(&values).unwrap();
    let view = input.map_read::<F16>().unwrap();
    assert_eq!(view[64], values[60]); // the third row, 2 * 64 bytes on
    let rows: Vec<F16> = view.rows().flatten().copied().collect();
    assert_eq!(rows, values);
    drop(view);

    let (surface, id) = (output.iosurface().unwrap(), output.iosurface_id().unwrap());
    // SAFETY: nobody else writes to the surface.
    let same = unsafe { Buffer::import_iosurface(&device, surface, &desc) }.unwrap();
    // SAFETY: as above.
    let found = unsafe { Buffer::import_iosurface_id(&device, id, &desc) }.unwrap();
    assert_eq!((same.iosurface(), found.iosurface_id()), (Some(surface), Some(id)));
    kernel.run(&[&input], &mut [&mut output]).unwrap();
    drop(output);
    let doubled: Vec<F16> = (0..90).map(|value| half(2 * value)).collect();
    assert_eq!(same.read::<F16>().unwrap(), doubled);
    assert_eq!(found.read::<F16>().unwrap(), doubled);
    let statistics = kernel.statistics().unwrap();
    assert_eq!(statistics.work.engine_evaluations, 1);
    assert_eq!(kernel.placement().unwrap().location, "ane");
    // SAFETY: refused.
    let absent = unsafe { Buffer::import_iosurface_id(&device, 0x7fff_ffff, &desc) };
    assert_eq!(kind(absent), ErrorKind::NotFound);
}

#[test]
#[ignore = "needs the emulator"]
fn a_session_trains_on_the_engine_in_half_precision() {
    let folder = Folder::new();
    let device = engine(&folder);
    let info = device.info().unwrap();
    assert_eq!((info.name.as_str(), info.has_f32), ("ane", false));
    assert!(device.report().unwrap().contains("\"chip\""));
    let single = options().precision(Precision::F32);
    assert_eq!(kind(Session::create(&device, &model(), &single)), ErrorKind::UnsupportedOption);
    let mut session = session(&device);
    assert_eq!(session.options().unwrap().precision, Precision::F16);
    let rows = dataset().read(0, BATCH as usize).unwrap();
    let first = session.step(&[rows.batch()]).unwrap();
    assert!(first.work.engine_evaluations > 0 && first.loss_scale > 1.0);
    for _ in 0..5 {
        session.step(&[rows.batch()]).unwrap();
    }
    assert!(session.eval(&rows.batch()).unwrap().loss < first.loss);
    let reports = session.kernel_reports().unwrap();
    assert!(reports.iter().any(|report| report.location.contains("ane")));
}
