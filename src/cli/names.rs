//! The names that the program is called by, and what each makes of its arguments.
//!
//! `registry` and `htpasswd` are the programs of the `registry:2` image. `entrypoint` is that image's script: it accepts what the
//! script accepts, without a shell.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Which program is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Breakwater,
    Registry,
    Htpasswd,
}

/// A program and its arguments, without its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) program: Program,
    pub(super) arguments: Vec<OsString>,
}

impl Program {
    /// The program of a path, by its last part.
    fn named(path: &OsStr) -> Option<Self> {
        match Path::new(path).file_name()?.to_str()? {
            "breakwater" => Some(Self::Breakwater),
            "registry" => Some(Self::Registry),
            "htpasswd" => Some(Self::Htpasswd),
            _ => None,
        }
    }
}

/// Whether a program goes by a name of ours.
pub(super) fn is_ours(name: &OsStr) -> bool {
    Program::named(name).is_some() || is_entry_point(name)
}

fn is_entry_point(name: &OsStr) -> bool {
    Path::new(name).file_name().is_some_and(|name| name == "entrypoint" || name == "entrypoint.sh")
}

/// What a command line asks for; its first argument is the name. By any other name the program is `breakwater`.
pub(super) fn understand(command_line: impl IntoIterator<Item = OsString>) -> Call {
    let mut command_line = command_line.into_iter();
    let name = command_line.next().unwrap_or_default();
    let arguments: Vec<OsString> = command_line.collect();
    if is_entry_point(&name) {
        return enter(arguments);
    }
    Call { program: Program::named(&name).unwrap_or(Program::Breakwater), arguments }
}

/// What the image's script does: a file or none is served, a verb or flag of the stock program is its, and a program is run. What
/// it would look for on the path can only be a verb of ours.
fn enter(mut arguments: Vec<OsString>) -> Call {
    let Some(first) = arguments.first() else {
        return Call { program: Program::Registry, arguments: vec!["serve".into()] };
    };
    if let Some(program) = Program::named(first) {
        return Call { program, arguments: arguments.split_off(1) };
    }
    let text = first.to_string_lossy();
    if text.ends_with(".yml") || text.ends_with(".yaml") {
        arguments.insert(0, "serve".into());
        return Call { program: Program::Registry, arguments };
    }
    let is_stock = text.starts_with('-') || ["serve", "garbage-collect", "help"].contains(&&*text);
    let program = if is_stock { Program::Registry } else { Program::Breakwater };
    Call { program, arguments }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(command_line: &str) -> (Program, String) {
        let call = understand(command_line.split(' ').map(OsString::from));
        let arguments: Vec<_> = call.arguments.iter().map(|argument| argument.to_string_lossy()).collect();
        (call.program, arguments.join(" "))
    }

    #[test]
    fn a_name_is_a_program_wherever_it_lies() {
        assert_eq!(understood("/bin/registry serve /c.yml"), (Program::Registry, "serve /c.yml".into()));
        assert_eq!(understood("bin/registry -v"), (Program::Registry, "-v".into()));
        assert_eq!(understood("htpasswd -Bbn u p"), (Program::Htpasswd, "-Bbn u p".into()));
        assert_eq!(understood("./target/release/anything user list f"), (Program::Breakwater, "user list f".into()));
        assert_eq!(understand(None), Call { program: Program::Breakwater, arguments: Vec::new() });
    }

    #[test]
    fn the_entry_point_takes_what_the_script_of_the_image_takes() {
        let table = [
            ("/entrypoint", Program::Registry, "serve"),
            ("/entrypoint /path/x.yml", Program::Registry, "serve /path/x.yml"),
            ("/entrypoint.sh x.yaml", Program::Registry, "serve x.yaml"),
            ("/entrypoint serve /x.yml", Program::Registry, "serve /x.yml"),
            ("/entrypoint garbage-collect -m /x.yml", Program::Registry, "garbage-collect -m /x.yml"),
            ("/entrypoint help", Program::Registry, "help"),
            ("/entrypoint --version", Program::Registry, "--version"),
            ("/entrypoint registry serve /x.yml", Program::Registry, "serve /x.yml"),
            ("/entrypoint /bin/registry -v", Program::Registry, "-v"),
            ("/entrypoint htpasswd -Bbn u p", Program::Htpasswd, "-Bbn u p"),
            ("/entrypoint user list /auth/htpasswd", Program::Breakwater, "user list /auth/htpasswd"),
            ("/entrypoint sh", Program::Breakwater, "sh"),
        ];
        for (command_line, program, arguments) in table {
            assert_eq!(understood(command_line), (program, arguments.to_owned()), "{command_line}");
        }
    }
}
