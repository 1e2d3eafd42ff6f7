use std::env;
use std::process::Output;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::run::{cargo, command};
use crate::{audit, bench, firmware, fuzz, msrv, perf_gate, report, size, std_gateway};

/// Everything that CI does, in its order.
pub(crate) fn check() -> Result<()> {
    let (proved, proofs) = mpsc::channel();
    thread::spawn(move || run_ahead(&proved));
    cargo(["test", "--workspace"])?;
    // What is served where memory is short.
    cargo(["test", "--package", "strait-embassy", "--no-default-features", "--test", "exec"])?;
    std_gateway::test(false)?;
    crate::lint()?;
    audit::check()?;
    msrv::check()?;
    tell("proofs", &proofs.recv().context("nothing is proved")??)?;
    firmware::test()?;
    size::check(false)?;
    crate::peers(&[], false)?;
    perf_gate::chore(&perf_gate::Options::default())?;
    // One seed, so that what fails has to do with the change that it fails with.
    crate::soak(3.0, Some(20_261_122), false)?;
    // The same inputs each time: what is new is looked for by hand, and does not stop a change that has nothing to do with it.
    fuzz::run(&[], Duration::from_secs(5), Some(1))?;
    cargo(["run", "--release", "--", "demo", "--once"])?;
    bench::run(&["--short".into()])?;
    report::check()
}

/// What no other stage disturbs, and builds for the last stages, while the first ones wait for clocks and peers. A build that fails
/// here fails again where it is needed.
fn run_ahead(proved: &mpsc::Sender<Result<Output>>) {
    let proofs = env::current_exe().context("the chores have a path");
    // Nobody waits for it any more if a stage has failed.
    let _ = proved.send(proofs.and_then(|chores| command(chores).args(["proofs"]).idle().record()));
    for build in bench::builds().into_iter().chain([fuzz::build()]) {
        build.idle().output();
    }
}

/// The end of a chore that ran in silence.
fn tell(chore: &str, output: &Output) -> Result<()> {
    let text = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    println!("\n== {chore}, run ahead\n{}{}", text[0], text[1]);
    ensure!(output.status.success(), "{chore}: {}", output.status);
    Ok(())
}
