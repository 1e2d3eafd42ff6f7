use std::io;
use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::arguments::Arguments;

/// Prints a completion script.
pub(crate) fn completion(shell: Shell) {
    clap_complete::generate(shell, &mut Arguments::command(), "strait", &mut io::stdout());
}

/// Writes one manual page for the program and one for each command.
pub(crate) fn manual(directory: &Path) -> anyhow::Result<()> {
    clap_mangen::generate_to(Arguments::command(), directory)
        .with_context(|| format!("cannot write to {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn the_arguments_are_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn verbosity_is_counted_or_named() {
        let verbosity = |flags: &[&str]| {
            let line = ["strait"].iter().chain(flags).chain(&["exec", "pod", "--", "date"]);
            Arguments::try_parse_from(line).map(|arguments| arguments.verbosity()).ok()
        };
        assert_eq!([verbosity(&[]), verbosity(&["-v"]), verbosity(&["-vv"])], [Some(0), Some(1), Some(2)]);
        assert_eq!(
            [verbosity(&["-v=6"]), verbosity(&["--v=9"]), verbosity(&["-v=x"])],
            [Some(6), Some(9), None]
        );
    }
}
