//! The command itself.
//!
//! Owns: the order of things, and what is asked. In: arguments, a home directory. Out: text, and a changed file with `--apply`.
//! Must not know: what is in the table.

use super::{
    ConnectError, apply,
    fill::{Facts, UNKNOWN, fill},
    gateway, render,
    table::{CLIENTS, Client, Setup},
};
use crate::cli::ConnectArgs;
use std::{
    io::{self, IsTerminal as _, Write},
    path::Path,
};

/// Runs the command.
pub async fn run(
    args: &ConnectArgs,
    home: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), ConnectError> {
    let told = |error| ConnectError::Io("the output".into(), error);
    let mut facts = Facts::new(&args.gateway)?;
    let client = args.client.as_deref().map(find).transpose()?;
    let setup = match (client, &args.setup) {
        (Some(client), Some(id)) => Some(setup_of(client, id)?),
        _ => None,
    };
    let asked = gateway::models(&facts.host).await;
    let why = match asked {
        Ok(models) => {
            facts.models = Some(models);
            None
        }
        Err(why) => Some(why),
    };
    if args.json {
        let clients = client.map_or_else(|| CLIENTS.iter().collect(), |client| vec![client]);
        let mut document = render::json(&clients, &facts);
        document["why_not"] = why.into();
        return writeln!(out, "{document:#}").map_err(told);
    }
    if let Some(why) = why {
        let host = &facts.host;
        writeln!(
            out,
            "{host} can't say what you may use ({why}): this is the general form.\n"
        )
        .map_err(told)?;
    }
    let Some(client) = client else {
        return out.write_all(render::list(&facts).as_bytes()).map_err(told);
    };
    if args.apply {
        return write(args, client, setup, &facts, home, out);
    }
    let text = render::client(client, setup, &facts);
    out.write_all(text.as_bytes()).map_err(told)
}

fn find(id: &str) -> Result<&'static Client, ConnectError> {
    CLIENTS
        .iter()
        .find(|client| client.id == id)
        .ok_or_else(|| ConnectError::NoClient(id.to_owned()))
}

fn setup_of(client: &'static Client, id: &str) -> Result<&'static Setup, ConnectError> {
    let found = client.setups.iter().find(|setup| setup.id == id);
    found.ok_or_else(|| {
        let known: Vec<_> = client.setups.iter().map(|setup| setup.id).collect();
        ConnectError::NoSetup {
            client: client.id,
            setup: id.to_owned(),
            known: known.join(", "),
        }
    })
}

/// Merges a setup into the client's file: the one that is asked for, else the first that has a file and a model.
fn write(
    args: &ConnectArgs,
    client: &'static Client,
    setup: Option<&'static Setup>,
    facts: &Facts,
    home: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), ConnectError> {
    let told = |error| ConnectError::Io("the output".into(), error);
    let with_file = || client.setups.iter().filter(|setup| setup.file.is_some());
    let setup = setup
        .or_else(|| with_file().find(|setup| facts.offers(setup)))
        .or_else(|| with_file().next());
    let no_file = || ConnectError::NoFile(client.id);
    let setup = setup.ok_or_else(no_file)?;
    let file = setup.file.ok_or_else(no_file)?;
    let text = fill(setup, facts);
    if text.contains(UNKNOWN) {
        return Err(ConnectError::NeedsHttps(client.id));
    }
    if !facts.offers(setup) {
        writeln!(
            out,
            "You may use no model in this client's format: it will be refused."
        )
        .map_err(told)?;
    }
    let home = home.ok_or(ConnectError::NoHome)?;
    let change = apply::plan(home, file, setup.format, &text)?;
    let path = change.path().display();
    for key in change.kept() {
        writeln!(out, "{key} stays as it is: the gateway drops it.").map_err(told)?;
    }
    if !change.is_needed() {
        return writeln!(out, "{path} says all of it already.").map_err(told);
    }
    write!(out, "{path}:\n{}", change.diff()).map_err(told)?;
    if !args.yes && !agreed(out)? {
        return writeln!(out, "Nothing was written.").map_err(told);
    }
    match change.make()? {
        Some(backup) => writeln!(
            out,
            "Written; what was there first is {}.",
            backup.display()
        ),
        None => writeln!(out, "Written."),
    }
    .map_err(told)
}

/// Asks the person at the terminal.
fn agreed(out: &mut dyn Write) -> Result<bool, ConnectError> {
    let told = |error| ConnectError::Io("the terminal".into(), error);
    let terminal = io::stdin();
    if !terminal.is_terminal() {
        return Err(ConnectError::NobodyToAsk);
    }
    write!(out, "Write this? [y/N] ").map_err(told)?;
    out.flush().map_err(told)?;
    let mut answer = String::new();
    terminal.read_line(&mut answer).map_err(told)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
