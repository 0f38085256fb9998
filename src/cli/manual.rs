//! `playhouse completion` and `playhouse man`: what is known of the command line, for shells and for readers.

use std::{io::Write as _, path::Path};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use super::output::{Problem, say};

/// Prints a script that completes the command line in a shell.
pub(super) fn complete(mut command: Command, shell: Shell) {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    print(&script);
}

/// Prints the manual page, or writes all pages to a folder.
pub(super) fn describe(command: Command, to: Option<&Path>) -> Result<(), Problem> {
    let Some(folder) = to else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        print(&page);
        return Ok(());
    };
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)?;
    say(format_args!("Written: {}", folder.display()));
    Ok(())
}

/// Bytes as they are: a script or a page has its own line ends. A reader that went away is no problem of ours.
fn print(bytes: &[u8]) {
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(bytes).and_then(|()| output.flush());
}
