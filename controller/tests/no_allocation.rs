//! After its construction the controller allocates nothing, neither in good steps nor in faults.

use std::{
    alloc::{GlobalAlloc, Layout as MemoryLayout, System},
    cell::Cell,
};

use controller::{ControlInput, Controller, Mode, SafetyConfig};
use policies::{Activation, Bundle, Layout, Linear, Member, Provenance, RaySpec};
use robots::Robot;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged; the counter is a plain thread-local cell with
// a constant initializer and no destructor, and so allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: MemoryLayout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: MemoryLayout) {
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn bundle(robot: &Robot, rays: &RaySpec) -> Bundle {
    let widths = [61, 512, 256, 128, 12];
    let layers = widths
        .windows(2)
        .map(|pair| Linear {
            weight: (0..pair[0] * pair[1])
                .map(|k| 0.05 * (k as f32).sin())
                .collect(),
            bias: vec![0.0; pair[1]],
            inputs: pair[0],
        })
        .collect();
    let layout = Layout::agile(robot, rays);
    let agile = Member::agile(
        &layout,
        0.25,
        Activation::Elu,
        layers,
        Provenance::default(),
    );
    Bundle {
        agile: Some(agile),
        ..Bundle::new(robot, rays)
    }
}

#[test]
fn steps_and_faults_allocate_nothing() {
    let (robot, rays) = (Robot::load("go1").unwrap(), RaySpec::default());
    let mut controller =
        Controller::new(&robot, &bundle(&robot, &rays), &SafetyConfig::default()).unwrap();
    let mut input = ControlInput::new(&robot, &rays);
    let mut faults = 0;

    let before = ALLOCATIONS.get();
    for cycle in 0..200 {
        input.time_left_s = if cycle % 10 == 7 {
            f32::NAN
        } else {
            9.0 - 0.02 * cycle as f32
        };
        input.state.joint_position_rad[cycle % 12] = 0.1 * (cycle as f32).sin();
        controller.step(&input.state, &input.rays, &input.goal, input.time_left_s);
        faults += usize::from(controller.mode() == Mode::Fallback);
        if cycle == 100 {
            controller.reset();
        }
    }
    let allocations = ALLOCATIONS.get() - before;
    assert_eq!(faults, 20);
    assert_eq!(allocations, 0);

    // The counter does count.
    drop(std::hint::black_box(vec![1, 2, 3]));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}
