//! The pages of the repository name no command, flag or value that the program does not have.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Parser as _, error::ErrorKind};

use super::Cli;

/// The pages at the top of the repository and those of the book.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let names = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ];
    let mut pages = names.map(|name| root.join(name)).to_vec();
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the book is in docs/") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// The lines of the code blocks of a page, and the inline code of its text.
fn code(page: &str) -> Vec<String> {
    let mut code = Vec::new();
    let mut text = String::new();
    // The language of the block that the line is in.
    let mut block = None;
    for line in page.lines().map(str::trim) {
        if let Some(language) = line.strip_prefix("```") {
            block = match block {
                None => Some(language),
                Some(_) => None,
            };
            continue;
        }
        match block {
            None => {
                text.push_str(line);
                text.push(' ');
            }
            Some("" | "sh") => code.push(line.to_owned()),
            // What the program prints, perhaps behind the command.
            Some(_) => code.extend(line.strip_prefix("$ ").map(str::to_owned)),
        }
    }
    code.extend(text.split('`').skip(1).step_by(2).map(str::to_owned));
    code
}

/// The words of a command that runs the program; `mpirun -n 4` may stand before it, `| jq` behind.
fn words(command: &str) -> Option<Vec<String>> {
    let words = shlex::split(command)?;
    let first = words.first()?.as_str();
    if !["abs", "scripts/abs", "mpirun"].contains(&first) {
        return None;
    }
    let program = |word: &String| word == "abs" || word == "scripts/abs";
    let end = |word: &String| ["|", ">", ";", "&&"].contains(&word.as_str());
    let words: Vec<_> = words
        .into_iter()
        .skip_while(|word| !program(word))
        .take_while(|word| !end(word))
        .collect();
    (words.len() > 1).then_some(words)
}

#[test]
fn pages_name_only_what_the_program_has() {
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page is text");
        for command in code(&text) {
            let Some(words) = words(&command) else {
                continue;
            };
            checked += 1;
            if let Err(error) = Cli::try_parse_from(words) {
                // A text may name a command without its arguments.
                let is_named = matches!(
                    error.kind(),
                    ErrorKind::DisplayHelp
                        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                        | ErrorKind::DisplayVersion
                        | ErrorKind::MissingRequiredArgument
                );
                assert!(is_named, "{}: `{command}`: {error}", page.display());
            }
        }
    }
    assert!(checked > 200, "only {checked} commands were found");
}
