//! `blobdvm init`: make a vault, and show its key once.

use serde::Serialize;

use crate::cli::args::InitArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::key;
use crate::vault::{Home, VaultError, secret_text};

#[derive(Serialize)]
struct Made<'a> {
    home: String,
    key: &'a str,
    relays: Vec<String>,
    imported: bool,
}

/// Makes a vault in the home and shows what its owner must write down.
///
/// # Errors
/// There is a vault already, or the key to import cannot be read.
pub fn run(args: &InitArgs, context: &Context) -> Result<Exit, CliError> {
    // Before anybody is asked for a key.
    if Home::at(&context.home).exists()? {
        return Err(VaultError::HomeExists { path: context.home.clone() }.into());
    }
    let vault = match &args.import {
        None => Home::init_fresh(&context.home, &context.env)?,
        Some(source) => Home::init(&context.home, key::read(source)?, &context.env)?,
    };
    context.remember_relays(&vault)?;
    let relays = vault.settings().relays.iter().map(ToString::to_string).collect();
    let key = secret_text(vault.keys()?.secret())?;
    let home = context.home.display().to_string();
    show(&Made { home, key: &key, relays, imported: args.import.is_some() }, context);
    Ok(Exit::Ok)
}

fn show(made: &Made<'_>, context: &Context) {
    let output = &context.output;
    output.json(made);
    output.say(format_args!("A vault was made in {}.\n", made.home));
    output.say("Write these down now, on paper, and keep them apart from this machine:\n");
    output.answer(format_args!("  key    {}", made.key));
    for relay in &made.relays {
        output.answer(format_args!("  relay  {relay}"));
    }
    if made.relays.is_empty() {
        output.say("  relay  (none yet: note those that you will name with --relay)");
    }
    output
        .say("\nThe key and one of the relays bring everything back on an empty machine: `blobdvm recover`.");
    output.say("Without the key nobody can do that, you included; whoever has it can read everything.");
    output.say("It is not shown again. It lies unsealed in the file `key` of the home, for you alone.");
    if made.imported {
        output.warn(
            "if this key is also a social identity, whoever gets hold of it there can read this vault, and whoever \
             gets hold of it here can speak in your name: a vault is better off with a key of its own",
        );
    }
}
