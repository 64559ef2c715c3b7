//! What step.c does, in Rust.

use std::io::{BufRead, Write};
use std::os::raw::c_long;
use std::time::Instant;

use ane_train::{Batch, Device, DeviceOptions, Model, ModelConfig, Session, SessionOptions};

extern "C" {
    // The processor's time, in microseconds where POSIX is kept; the standard library has none.
    fn clock() -> c_long;
}

fn processor_seconds() -> f64 {
    // SAFETY: has no argument and no state of ours.
    unsafe { clock() as f64 * 1e-6 }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (name, row_length) = match (arguments.next(), arguments.next()) {
        (Some(name), Some(length)) => (name, length.parse::<i32>()?),
        _ => return Err("usage: overhead_step configuration row-length".into()),
    };
    let device = Device::open_with("cpu", &DeviceOptions::new().threads(1))?;
    let config = ModelConfig::named(&name)?.layer_count(2).vocab_size(512);
    let model = Model::create(&config, 1)?;
    let options = SessionOptions::new().sequence_length(row_length).learning_rate(1e-4);
    let mut session = Session::create(&device, &model, &options)?;

    let ids = |first| (0..row_length).map(move |i| 37 * (i + first) % 512);
    let tokens: Vec<i32> = ids(0).collect();
    let targets: Vec<i32> = ids(1).collect();
    for line in std::io::stdin().lock().lines() {
        let steps: u32 = line?.trim().parse()?;
        let (start, busy) = (Instant::now(), processor_seconds());
        let mut loss = 0.0;
        for _ in 0..steps {
            loss = session.step(&[Batch::new(&tokens, &targets, row_length)])?.loss;
        }
        let (seconds, processor) = (start.elapsed().as_secs_f64(), processor_seconds() - busy);
        println!("{seconds:.9} {processor:.9} {:016x}", loss.to_bits());
        std::io::stdout().flush()?;
    }
    Ok(())
}
