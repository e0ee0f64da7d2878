use super::*;
use crate::config::Strictness;
use std::{fs, os::unix::fs::PermissionsExt as _};

/// A run with these answers; what was asked and said comes back, too.
fn answered(args: &InitArgs, path: &Path, answers: &str) -> (Result<Made, Error>, String) {
    let environment = Environment::from_iter([
        (
            "ANTHROPIC_API_KEY".to_owned(),
            "sk-ant-api03-0123456789abcdef".to_owned(),
        ),
        (
            "OPENAI_API_KEY".to_owned(),
            "sk-0123456789abcdef".to_owned(),
        ),
    ]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut out = Vec::new();
    let made = run(
        args,
        path,
        &environment,
        &mut answers.as_bytes(),
        &mut out,
        &Echo::default(),
        runtime.handle(),
    );
    (made, String::from_utf8(out).unwrap())
}

/// Nobody is asked over the network.
fn offline() -> InitArgs {
    InitArgs {
        no_check: true,
        ..InitArgs::default()
    }
}

#[test]
fn answers_make_a_document_in_which_the_checker_finds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state/aperture.hujson");
    let answers = "\nanthropic, openai, purpbox=http://100.99.98.31:8080\n\n\n\nclaude-haiku-4-5,claude-opus-4-5\n\
                   gpt-5\n\nllama-3.1-70b\nme@example.com\ngroup:eng, ann@example.com\nclaude-opus-4-5\nsenior@example.com\n\
                   tag:ci\nclaude-haiku-4-5\n";
    // The order of questions: name, providers, key and models of each, people.
    let answers = answers.replacen("\n\n\n\nclaude", "\n\nclaude", 1);
    let answers = answers.replacen("opus-4-5\ngpt-5", "opus-4-5\n\ngpt-5", 1);
    let (made, said) = answered(&offline(), &path, &answers);
    let made = made.unwrap_or_else(|error| panic!("{error}\n{said}"));
    insta::assert_snapshot!("document", made.document);
    let next = made.next.replace(path.to_str().unwrap(), "PATH");
    insta::assert_snapshot!("next", next);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(fs::read_to_string(&path).unwrap(), made.document);
}

#[test]
fn a_bad_answer_is_explained_and_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("aperture.hujson");
    let answers = "A name!\nai\nclaude\nanthropic\nenv:HOME\nenv:ANTHROPIC_API_KEY\n\nme\nme@example.com\n\
                   everybody\n*, x@example.com\n*\nno-such-model\n\n";
    let (made, said) = answered(&offline(), &path, answers);
    made.unwrap_or_else(|error| panic!("{error}\n{said}"));
    for why in [
        "small letters, digits and hyphens",
        "claude is not among anthropic, openai",
        "may not be read",
        "me is no login",
        "everybody is neither a login",
        "write it alone",
        "no-such-model is not among",
    ] {
        assert!(said.contains(why), "{why}:\n{said}");
    }
}

#[test]
fn without_anybody_to_ask_arguments_and_defaults_are_enough() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("aperture.hujson");
    let mut args = InitArgs {
        unattended: true,
        provider: vec!["anthropic".into(), "vertex".into(), "bedrock".into()],
        key: vec![
            "anthropic=env:ANTHROPIC_API_KEY".into(),
            "bedrock=file:bedrock".into(),
        ],
        project: Some("my-project".into()),
        region: Some("us-east-1".into()),
        ..offline()
    };
    let (made, said) = answered(&args, &path, "");
    let error = made.unwrap_err().to_string();
    assert!(error.contains("--admin is missing"), "{error}");
    assert!(!path.exists());
    args.admin = vec!["me@example.com".into()];
    let (made, _) = answered(&args, &path, "");
    let made = made.unwrap_or_else(|error| panic!("{error}\n{said}"));
    assert!(
        made.document
            .contains("https://us-east-1-aiplatform.googleapis.com")
    );
    let checked = config::check(
        &made.document,
        &CheckOptions {
            environment: Environment::from_iter([(
                "ANTHROPIC_API_KEY".to_owned(),
                "sk-ant-api03-0123456789abcdef".to_owned(),
            )]),
            ..CheckOptions::default()
        },
    );
    assert!(!config::refused(&checked.findings, Strictness::Load));

    // Neither is anything overwritten, nor lost when it is.
    let (again, _) = answered(&args, &path, "");
    assert!(again.unwrap_err().to_string().contains("is there already"));
    args.force = true;
    args.users = Some("nobody".into());
    let (refused, _) = answered(&args, &path, "");
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .starts_with("--users: nobody")
    );
    args.users = Some("me2@example.com".into());
    let (replaced, _) = answered(&args, &path, "");
    let replaced = replaced.unwrap();
    assert_eq!(
        fs::read_to_string(replaced.backup.unwrap()).unwrap(),
        made.document
    );
    assert_ne!(replaced.document, made.document);

    args.key = vec!["anthropic=sk-ant-api03-0123456789abcdef".into()];
    let (visible, _) = answered(&args, &path, "");
    let error = visible.unwrap_err().to_string();
    assert!(
        error.contains("visible") && !error.contains("sk-ant"),
        "{error}"
    );
}

#[test]
fn answers_that_end_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state/aperture.hujson");
    let (made, _) = answered(&offline(), &path, "ai\nanthropic\n");
    assert!(matches!(made, Err(Error::Ended(_))));
    assert!(!path.parent().unwrap().exists());
}

#[test]
fn a_key_is_never_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("aperture.hujson");
    let key = "sk-ant-api03-0123456789abcdef";
    let answers = format!("\nanthropic\n{key}\n\nme@example.com\n\n\n");
    let (made, said) = answered(&offline(), &path, &answers);
    let made = made.unwrap_or_else(|error| panic!("{error}\n{said}"));
    assert!(!said.contains(key) && !made.next.contains(key), "{said}");
    assert!(made.document.contains(key));
}
