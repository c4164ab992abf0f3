//! `man`: the manual as one page, the verbs' help included.

use clap::Command;

/// When the text was last gone over. With none, what comes behind it in the title would be taken for the date.
const DATE: &str = "2026-11-21";

/// The page, as roff.
pub(super) fn page(mut command: Command) -> std::io::Result<Vec<u8>> {
    command.build();
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone()).date(DATE).manual("Breakwater");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if let Some(text) = command.get_after_help() {
        verbatim(&mut page, "EXAMPLES", &text.to_string());
    }
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        section(&mut page, verb);
        for below in verb.get_subcommands().filter(|below| below.get_name() != "help") {
            section(&mut page, below);
        }
    }
    man.render_version_section(&mut page)?;
    Ok(page)
}

fn section(page: &mut Vec<u8>, verb: &Command) {
    let title = verb.get_bin_name().unwrap_or_else(|| verb.get_name()).to_uppercase();
    verbatim(page, &title, &verb.clone().term_width(78).render_long_help().to_string());
}

/// A section whose text stays laid out as it is.
fn verbatim(page: &mut Vec<u8>, title: &str, text: &str) {
    page.extend_from_slice(format!(".SH \"{title}\"\n.nf\n").as_bytes());
    for line in text.lines() {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        // A line that begins with a dot or a quote would be a request.
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        page.extend_from_slice(format!("{guard}{line}\n").as_bytes());
    }
    page.extend_from_slice(b".fi\n");
}
