//! Templates: what they may name, what is left out, what is refused at load.

use mailmill::config::Config;
use mailmill::mail::signature::Signature;
use mailmill::pipeline::Generation;
use tempfile::TempDir;

const CONFIG: &str = r#"
[accounts.office]
address = "office@example.com"
maildir = "maildir"
project = "T-071"

[tables.projects]
file = "projects.csv"
key = "code"

[tables.users]
file = "users.csv"
key = "login"
"#;

const PROJECTS: &str = "code,name,site,phone\nT-071,Smart City & Süd,\"Straße 1\n12345 Berlin\",030 1\nT-114,<Kita>,,\n";
const USERS: &str = "login,full,role\nanna,Anna Muster,Bauleitung\n";

/// A folder with a configuration, its tables and these templates.
pub(super) fn folder(templates: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    write("mailmill.toml", CONFIG.as_bytes());
    write("projects.csv", PROJECTS.as_bytes());
    write("users.csv", USERS.as_bytes());
    templates.iter().for_each(|(name, content)| write(&format!("templates/{name}"), content));
    folder
}

pub(super) fn load(folder: &TempDir) -> (Config, Result<Generation, String>) {
    let config = Config::load(&folder.path().join("mailmill.toml")).unwrap();
    let generation = Generation::load(&config).map_err(|faults| faults.to_string());
    (config, generation)
}

#[track_caller]
fn rendered(templates: &[(&str, &[u8])], project: Option<&str>, user: &str) -> Signature {
    let folder = folder(templates);
    let (config, generation) = load(&folder);
    let name = templates[0].0.split_once('.').unwrap().0;
    // 2026-03-02T09:05:00Z
    let tables = generation.unwrap();
    tables.render(name, &config.accounts["office"], (project, user), 1_772_442_300_000).unwrap()
}

#[test]
fn fields_come_from_the_tables() {
    let text = b"{{ user.full }}, {{ user.role }}\n{{ project.name }} ({{ project.code }})\n\
                 {{ account.address }}\n{{ date }} {{ now.year }}-{{ now.month }} {{ now.hour }}:{{ now.minute }}\n";
    let signature = rendered(&[("a.txt", text)], Some("T-071"), "anna");
    assert_eq!(
        signature.text,
        "Anna Muster, Bauleitung\nSmart City & Süd (T-071)\noffice@example.com\n2026-03-02 2026-3 9:5"
    );
    assert_eq!(
        signature.html,
        "Anna Muster, Bauleitung<br>\nSmart City &amp; Süd (T-071)<br>\noffice@example.com<br>\n2026-03-02 2026-3 9:5"
    );
}

#[test]
fn a_line_without_its_value_is_left_out() {
    let html = b"<p>\n<b>{{ project.name }}</b><br>\nTel. {{ project.phone }}<br>\n\
                 Ort: {{ project.site }}<br>\n{{ user.full or user.name }}\n</p>\n";
    let text = b"{{ project.name }}\nTel. {{ project.phone }}\nOrt: {{ project.site }}\n-- \n\
                 {% if project.phone %}\nRuf an\n{% endif %}\n{{ user.full or user.name }}\n";
    let files: [(&str, &[u8]); 2] = [("a.html", html), ("a.txt", text)];
    let signature = rendered(&files, Some("T-114"), "ben");
    assert_eq!(signature.html, "<p>\n<b>&lt;Kita&gt;</b><br>\nben\n</p>");
    assert_eq!(signature.text, "<Kita>\n--\nben");
    let signature = rendered(&files, Some("T-071"), "anna");
    assert_eq!(
        signature.html,
        "<p>\n<b>Smart City &amp; Süd</b><br>\nTel. 030 1<br>\nOrt: Straße 1<br>12345 Berlin<br>\nAnna Muster\n</p>"
    );
    assert_eq!(
        signature.text,
        "Smart City & Süd\nTel. 030 1\nOrt: Straße 1\n12345 Berlin\n--\nRuf an\nAnna Muster"
    );
    let signature = rendered(&files, None, "");
    assert_eq!((signature.text.as_str(), signature.html.as_str()), ("--", "<p>\n</p>"));
}

#[test]
fn values_steer_nothing() {
    let html = b"<a href=\"x?{{ user.name }}\">{{ user.name }}</a>\n{{ account.name }}";
    let evil = "\"><script>{{ 1 }}\u{1}\u{2}\r\nBcc: x";
    let signature = rendered(&[("a.html", html)], None, evil);
    let escaped = "&quot;&gt;&lt;script&gt;{{ 1 }}  <br>Bcc: x";
    assert_eq!(signature.html, format!("<a href=\"x?{escaped}\">{escaped}</a>\noffice"));
}

#[test]
fn images_lie_beside_the_html() {
    let png = b"\x89PNG\r\n\x1a\n1".as_slice();
    let html = b"<html><head><style>p{}</style></head><body bgcolor=white>\n<img src=\"cid:logo.png\" alt=\"\">\n\
                 <p><img src='cid:logo2.png'>{{ project.phone }}</p>\n<p>x</p></body></html>";
    let files: [(&str, &[u8]); 3] = [("a.html", html), ("logo.png", png), ("logo2.png", png)];
    let signature = rendered(&files, Some("T-114"), "anna");
    assert_eq!(signature.images.len(), 1, "the line of the other is left out");
    let image = &signature.images[0];
    assert_eq!((image.name.as_str(), image.media_type), ("logo.png", "image/png"));
    assert!(image.id.ends_with("@signature.mailmill"));
    assert_eq!(signature.html, format!("<img src=\"cid:{}\" alt=\"\">\n<p>x</p>", image.id));
    assert_eq!(signature.text, "x");
    assert_eq!(rendered(&files, Some("T-071"), "anna").images.len(), 2);
}

#[test]
fn a_template_may_include_another() {
    let files: [(&str, &[u8]); 2] = [
        ("a.html", b"<p>{{ user.full }}</p>\n{% include \"foot.html\" %}"),
        ("foot.html", b"<p>{{ project.name }}</p>"),
    ];
    assert_eq!(
        rendered(&files, Some("T-114"), "anna").html,
        "<p>Anna Muster</p>\n<p>&lt;Kita&gt;</p>"
    );
}

#[test]
fn all_faults_are_told_at_once() {
    let large = vec![b'x'; 300 << 10];
    let many: String = (0..6).map(|n| format!("<img src=\"cid:{n}.png\">\n")).collect();
    let png = b"\x89PNG\r\n\x1a\n".as_slice();
    let mut files: Vec<(&str, &[u8])> = vec![
        ("name.txt", b"{{ project.naem }}\n{{ proejct.name }}\n{{ user.fax }}\n{{ now.secnd }}\n{{ whatever }}\n"),
        ("row.txt", b"Hallo\n{{ project }}\n"),
        ("open.html", b"<p>\n{% if project.name %}\n</p>\n"),
        ("syntax.html", b"<p>{{ project. }}</p>\n"),
        ("filter.txt", b"\n{{ project.name|uper }}\n"),
        ("endless.txt", b"{% for a in range(9000) %}{% for b in range(9000) %}{% endfor %}{% endfor %}x"),
        ("much.txt", b"{% for a in range(9000) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }}{% endfor %}"),
        ("circle.txt", b"{% include 'circle.txt' %}"),
        ("image.html", b"<img src=\"cid:lgo.png\"><img src='logo.png'>\n<img src=\"cid:fake.png\"><img src=\"other.jpg\">\n<img src=\"https://x/y.png\">"),
        ("fake.png", b"GIF89a"),
        ("logo.png", png),
        ("latin.txt", b"ok\nK\xf6ln\n"),
        ("control.txt", b"a\n\x01b\n"),
        ("big.txt", &large),
        ("many.html", many.as_bytes()),
    ];
    let names: Vec<String> = (0..6).map(|n| format!("{n}.png")).collect();
    files.extend(names.iter().map(|name| (name.as_str(), png)));
    let told = load(&folder(&files)).1.unwrap_err();
    insta::assert_snapshot!(told);
}

#[test]
fn without_tables_only_what_is_always_there() {
    let folder = folder(&[("a.txt", b"{{ project.code }} {{ user.name }} {{ account.project }}\n{{ project.name }} {{ user.full }}\n")]);
    let config = CONFIG.split_once("[tables.projects]").unwrap().0;
    std::fs::write(folder.path().join("mailmill.toml"), config).unwrap();
    let told = load(&folder).1.unwrap_err();
    assert!(told.contains("templates/a.txt:2:4: project has no name"), "{told}");
    assert!(told.contains("add a table [tables.users] with this column"), "{told}");
    assert!(told.ends_with("2 faults"), "{told}");
}

#[test]
fn no_folder_is_no_fault() {
    let (_, generation) = load(&folder(&[]));
    assert_eq!(generation.unwrap().templates().names().count(), 0);
}
