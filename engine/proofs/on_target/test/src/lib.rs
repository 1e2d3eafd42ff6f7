//! As much of the crate `test` as `#[test]` becomes. Tests run one after the other; the first that fails ends the machine.
#![no_std]
#![allow(missing_docs, reason = "names and meaning are those of the crate that it stands in for")]

use std::string::String;

pub use self::{ShouldPanic::*, TestFn::*, TestName::*};

pub struct TestDescAndFn {
    pub desc: TestDesc,
    pub testfn: TestFn,
}

pub struct TestDesc {
    pub name: TestName,
    pub ignore: bool,
    pub ignore_message: Option<&'static str>,
    pub source_file: &'static str,
    pub start_line: usize,
    pub start_col: usize,
    pub end_line: usize,
    pub end_col: usize,
    pub should_panic: ShouldPanic,
    pub compile_fail: bool,
    pub no_run: bool,
    pub test_type: TestType,
}

pub enum TestName {
    StaticTestName(&'static str),
}

pub enum TestFn {
    StaticTestFn(fn() -> Result<(), String>),
}

pub enum ShouldPanic {
    No,
    Yes,
    YesWithMessage(&'static str),
}

pub enum TestType {
    UnitTest,
    IntegrationTest,
    DocTest,
    Unknown,
}

/// What a test function may return.
pub trait Outcome {
    fn failure(self) -> Result<(), String>;
}

impl Outcome for () {
    fn failure(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: core::fmt::Debug> Outcome for Result<(), E> {
    fn failure(self) -> Result<(), String> {
        self.map_err(|error| std::format!("{error:?}"))
    }
}

pub fn assert_test_result<T: Outcome>(result: T) -> Result<(), String> {
    result.failure()
}

pub fn test_main_static_abort(tests: &[&TestDescAndFn]) {
    test_main_static(tests);
}

pub fn test_main_static(tests: &[&TestDescAndFn]) {
    let mut run = 0;
    for TestDescAndFn { desc, testfn: StaticTestFn(test) } in tests {
        let StaticTestName(name) = desc.name;
        assert!(matches!(desc.should_panic, No), "{name}: nothing can be caught here");
        if desc.ignore {
            std::println!("ignored {}", name);
            continue;
        }
        std::println!("test {}", name);
        if let Err(error) = test() {
            panic!("{name}: {error}");
        }
        run += 1;
    }
    std::println!("{} tests passed", run);
}
