//! Buffers, mapped slices, imported memory, surfaces.

mod common;

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use ane_train::*;
use common::*;

fn floats(shape: &[i64]) -> TensorDesc {
    TensorDesc::new(DataType::Fp32, shape)
}

#[test]
fn values_go_in_and_come_out() {
    let mut buffer = Buffer::new(&device(), &floats(&[2, 3])).unwrap();
    assert_eq!(buffer.read::<f32>().unwrap(), [0.0; 6]);
    buffer.write(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    assert_eq!(buffer.read::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(buffer.desc().unwrap().shape, [2, 3]);
}

#[test]
fn types_and_lengths_are_checked() {
    let mut buffer = Buffer::new(&device(), &floats(&[2, 3])).unwrap();
    assert_eq!(kind(buffer.read::<i32>()), ErrorKind::TypeMismatch);
    assert_eq!(kind(buffer.write(&[1i8; 24])), ErrorKind::TypeMismatch);
    assert_eq!(kind(buffer.map_read::<u32>().map(|_| ())), ErrorKind::TypeMismatch);
    assert_eq!(kind(buffer.write(&[1.0f32; 5])), ErrorKind::ShapeMismatch);
    assert_eq!(kind(Buffer::new(&device(), &floats(&[0]))), ErrorKind::ShapeMismatch);
    assert_eq!(kind(Buffer::new(&device(), &floats(&[1; 9]))), ErrorKind::ShapeMismatch);
    let strides = floats(&[2, 3]).with_strides(&[4]);
    assert_eq!(kind(Buffer::new(&device(), &strides)), ErrorKind::ShapeMismatch);
}

#[test]
fn mapped_slices_are_the_memory_itself() {
    let mut buffer = Buffer::new(&device(), &floats(&[4])).unwrap();
    buffer.map_write::<f32>().unwrap().copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
    buffer.map_read_write::<f32>().unwrap()[2] += 0.5;
    let first = buffer.map_read::<f32>().unwrap();
    let second = buffer.map_read::<f32>().unwrap(); // maps nest
    assert_eq!(&first[..4], [1.0, 2.0, 3.5, 4.0]);
    assert_eq!(first.as_ptr(), second.as_ptr());
    assert_eq!(kind(buffer.read::<f32>()), ErrorKind::Busy);
    drop((first, second));
    assert_eq!(buffer.read::<f32>().unwrap()[3], 4.0);
}

#[test]
fn rows_leave_padding_out() {
    let desc = floats(&[2, 2, 3]).with_strides(&[64, 32, 4]);
    let mut buffer = Buffer::new(&device(), &desc).unwrap();
    let mut next = 0.0;
    buffer.map_write::<f32>().unwrap().for_each_row(|row| {
        for value in row {
            next += 1.0;
            *value = next;
        }
    });
    let view = buffer.map_read::<f32>().unwrap();
    let rows: Vec<Vec<f32>> = view.rows().map(<[f32]>::to_vec).collect();
    assert_eq!(rows, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0], [10.0, 11.0, 12.0]]);
    assert_eq!(view[8], 4.0); // 32 bytes further on
    assert_eq!(view.desc().strides, [64, 32, 4]);
    drop(view);
    let dense: Vec<f32> = (1..=12).map(|i| i as f32).collect();
    assert_eq!(buffer.read::<f32>().unwrap(), dense);
}

#[test]
fn imported_memory_is_shared_and_owned() {
    let device = device();
    let mut memory = AlignedMemory::<f32>::zeroed(&device, 4).unwrap();
    memory.copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
    let address = memory.as_ptr();
    let buffer = Buffer::import(&device, memory, &floats(&[4])).unwrap();
    let view = buffer.map_read::<f32>().unwrap();
    assert_eq!(view.as_ptr(), address);
    assert_eq!(&view[..4], [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn an_import_that_fails_gives_the_memory_back() {
    let device = device();
    let short = AlignedMemory::copy_of(&device, &[1.0f32; 3]).unwrap();
    assert_eq!(kind(Buffer::import(&device, short, &floats(&[4]))), ErrorKind::OutOfRange);
    let bytes = AlignedMemory::copy_of(&device, &[1u8; 16]).unwrap();
    assert_eq!(kind(Buffer::import(&device, bytes, &floats(&[4]))), ErrorKind::TypeMismatch);
}

#[test]
fn foreign_memory_is_released_once() {
    let device = device();
    let released = Arc::new(AtomicUsize::new(0));
    let mut memory = AlignedMemory::<f32>::zeroed(&device, 8).unwrap();
    let data = NonNull::new(memory.as_mut_ptr().cast::<u8>()).unwrap();
    let import = |bytes, shape: &[i64]| {
        let released = released.clone();
        let release = move || {
            released.fetch_add(1, Ordering::SeqCst);
        };
        // SAFETY: `memory` outlives the buffers, and nobody touches it meanwhile.
        unsafe { Buffer::import_raw(&device, data, bytes, &floats(shape), release) }
    };
    let buffer = import(32, &[8]).unwrap();
    assert_eq!(released.load(Ordering::SeqCst), 0);
    drop(buffer);
    assert_eq!(released.load(Ordering::SeqCst), 1);
    assert_eq!(kind(import(31, &[8])), ErrorKind::OutOfRange);
    assert_eq!(released.load(Ordering::SeqCst), 2);
    assert_eq!(kind(import(32, &[1; 9])), ErrorKind::ShapeMismatch);
    assert_eq!(released.load(Ordering::SeqCst), 3);
}

#[test]
fn the_cpu_has_no_surfaces() {
    let device = device();
    let surface = NonNull::<u8>::dangling().cast();
    // SAFETY: refused before anything is read.
    let by_reference = unsafe { Buffer::import_iosurface(&device, surface, &floats(&[4])) };
    assert_eq!(kind(by_reference), ErrorKind::Unsupported);
    // SAFETY: as above.
    let by_number = unsafe { Buffer::import_iosurface_id(&device, 17, &floats(&[4])) };
    assert_eq!(kind(by_number), ErrorKind::Unsupported);
    let buffer = Buffer::new(&device, &floats(&[4])).unwrap();
    assert_eq!((buffer.iosurface(), buffer.iosurface_id()), (None, None));
}

#[test]
fn half_floats_are_their_bits() {
    let desc = TensorDesc::new(DataType::Fp16, &[2]);
    let mut buffer = Buffer::new(&device(), &desc).unwrap();
    buffer.write(&[F16(0x3c00), F16(0x4000)]).unwrap(); // 1 and 2
    assert_eq!(buffer.read::<F16>().unwrap(), [F16(0x3c00), F16(0x4000)]);
    assert_eq!(kind(buffer.read::<Bf16>()), ErrorKind::TypeMismatch);
    assert_eq!((DataType::Fp16.name(), DataType::Fp16.size()), ("fp16", 2));
}
