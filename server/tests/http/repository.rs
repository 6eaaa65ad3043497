//! Models from files: versions, reloads, failures that keep the old model, hostile names.

use crate::client::{Client, post, served};
use crate::models::factor;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tilewise_server::{Config, Handle, Repository, start_repository};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tilewise-repository-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    /// Publishes a version by renaming.
    fn put(&self, model: &str, version: &str, text: &str) {
        let (place, fresh) = (self.0.join(model).join(version), self.0.join(".fresh"));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(&fresh, place.join("model")).unwrap();
    }
    fn remove(&self, what: &str) {
        std::fs::remove_dir_all(self.0.join(what)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file holds a number, by which the model multiplies.
fn repository(folder: &Path) -> Repository {
    let loader = |path: &Path| {
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        assert_ne!(text, "panic");
        Ok(factor(text.parse().map_err(|_| format!("{text:?} is not a number"))?))
    };
    Repository { folder: Some(folder.to_owned()), ..Repository::new(Arc::new(loader)) }
}

fn start(folder: &Folder) -> (Handle, Client) {
    let handle = start_repository(served(Config { admin: true, ..Config::default() }), repository(&folder.0));
    let handle = handle.unwrap();
    let client = Client::connect(handle.address().unwrap());
    (handle, client)
}

fn index(client: &mut Client, body: &str) -> Value {
    let reply = client.post("/v2/repository/index", body);
    assert_eq!(reply.status, 200);
    reply.json()
}

const ONE: &str = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[1]}]}"#;

#[test]
fn versions_are_pinned_and_the_latest_is_the_default() {
    let folder = Folder::new("versions");
    for (version, text) in [("2", "20"), ("9", "90"), ("10", "100"), ("010", "7"), ("x", "7"), (".11", "7")] {
        folder.put("m", version, text);
    }
    folder.put("bad name", "1", "7");
    folder.put("n", "1", "1");
    let (_handle, mut client) = start(&folder);
    for (path, factor, version) in
        [("m", 100.0, "10"), ("m/versions/9", 90.0, "9"), ("m/versions/2", 20.0, "2")]
    {
        let reply = client.post(&format!("/v2/models/{path}/infer"), ONE).json();
        assert_eq!(
            (&reply["model_version"], &reply["outputs"][0]["data"]),
            (&json!(version), &json!([factor]))
        );
        assert_eq!(client.post(&format!("/predict/{path}"), "[2]").json()["prediction"], 2.0 * factor);
        let about = client.get(&format!("/v2/models/{path}")).json();
        assert_eq!((&about["name"], &about["versions"]), (&json!("m"), &json!(["10", "9", "2"])));
        assert_eq!(client.get(&format!("/v2/models/{path}/ready")).status, 200);
    }
    for path in
        ["m/versions/3", "m/versions/010", "m/versions/..", "m/versions/", "m/versions/2/x", "m/versions"]
    {
        let reply = client.get(&format!("/v2/models/{path}"));
        assert_eq!(reply.status, 404, "{path}");
        reply.error();
    }
    let row =
        |name: &str, version: &str| json!({"name": name, "version": version, "state": "READY", "reason": ""});
    assert_eq!(index(&mut client, ""), json!([row("m", "2"), row("m", "9"), row("m", "10"), row("n", "1")]));
    // Two of each.
    let newest = Repository { newest: 2, ..repository(&folder.0) };
    let handle = start_repository(served(Config { admin: true, ..Config::default() }), newest).unwrap();
    let about = Client::connect(handle.address().unwrap()).get("/v2/models/m").json();
    assert_eq!(about["versions"], json!(["10", "9"]));
    // One that fails takes the place of none.
    folder.put("m", "11", "no");
    let mut client = Client::connect(handle.address().unwrap());
    assert_eq!(client.post("/v2/repository/models/m/load", "").status, 400);
    assert_eq!(client.get("/v2/models/m").json()["versions"], json!(["10", "9"]));
    folder.put("m", "11", "110");
    assert_eq!(client.post("/v2/repository/models/m/load", "").json()["versions"], json!(["11", "10"]));
}

#[test]
fn a_pipe_is_no_model_and_no_time_between_looks_is_refused() {
    let folder = Folder::new("pipe");
    folder.put("m", "1", "3");
    std::fs::create_dir_all(folder.0.join("m/2")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(folder.0.join("m/2/model")).status().unwrap();
    assert!(pipe.success());
    let (_handle, mut client) = start(&folder);
    assert_eq!(client.post("/predict/m", "[2]").json()["prediction"], 6.0);
    assert!(index(&mut client, "{}")[1]["reason"].as_str().unwrap().contains("not a file"));
    let spinning = Repository { every: Some(std::time::Duration::ZERO), ..repository(&folder.0) };
    assert!(start_repository(served(Config::default()), spinning).is_err());
}

#[test]
fn a_failure_keeps_what_was_there_and_says_so() {
    let folder = Folder::new("failure");
    folder.put("m", "1", "3");
    let (handle, mut client) = start(&folder);
    let factor =
        |client: &mut Client| client.post("/predict/m", "[1]").json()["prediction"].as_f64().unwrap();
    let load = "/v2/repository/models/m/load";
    for (text, told) in
        [("no", "not a number"), ("panic", "without a reason"), ("-13", "failed on this request")]
    {
        folder.put("m", "1", text);
        let reply = client.post(load, "");
        assert_eq!(reply.status, 400);
        assert!(reply.error().contains(told), "{reply:?}");
        assert_eq!(factor(&mut client), 3.0);
        let row = &index(&mut client, "{}")[0];
        assert_eq!(row["state"], "READY");
        assert!(row["reason"].as_str().unwrap().contains(told), "{row}");
    }
    // A later version that fails leaves the earlier one the latest.
    folder.put("m", "2", "no");
    assert_eq!(client.post(load, "{\"parameters\":{}}").status, 400);
    assert_eq!(factor(&mut client), 3.0);
    assert_eq!(client.get("/v2/models/m/versions/2").status, 503);
    assert_eq!(index(&mut client, "{\"ready\":true}").as_array().unwrap().len(), 1);
    folder.put("m", "1", "4");
    folder.put("m", "2", "5");
    assert_eq!(client.post(load, "").json(), json!({"name": "m", "versions": ["2", "1"]}));
    assert_eq!(factor(&mut client), 5.0);
    // A folder that cannot be listed changes nothing.
    let away = folder.0.with_extension("away");
    std::fs::rename(&folder.0, &away).unwrap();
    handle.reload();
    assert_eq!(client.post(load, "").status, 400);
    assert_eq!(factor(&mut client), 5.0);
    std::fs::rename(&away, &folder.0).unwrap();
    // A version with two files is none.
    std::fs::write(folder.0.join("m/2/other"), "6").unwrap();
    assert!(client.post(load, "").error().contains("one file"));
    assert_eq!(factor(&mut client), 5.0);
    folder.remove("m/2");
    assert_eq!(client.post(load, "").json()["versions"], json!(["1"]));
    assert_eq!(factor(&mut client), 4.0);
    let metrics = client.get("/metrics").body;
    let count = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(count("tilewise_model_loads_total"), 3);
    assert!(count("tilewise_model_loads_failed_total") >= 5);
}

#[test]
fn models_come_and_go() {
    let folder = Folder::new("come");
    folder.put("a", "1", "1");
    let (_handle, mut client) = start(&folder);
    assert_eq!(client.post("/predict", "[1]").status, 200);
    folder.put("b", "1", "2");
    assert_eq!(client.post("/v2/models/b/infer", ONE).status, 404);
    assert_eq!(client.post("/v2/repository/models/b/load", "").status, 200);
    assert_eq!(client.post("/v2/models/b/infer", ONE).status, 200);
    assert_eq!(client.post("/predict", "[1]").status, 404);
    // Unloaded is unloaded until it is loaded by name.
    let unload = "/v2/repository/models/b/unload";
    assert_eq!(client.post(unload, "{\"parameters\":{\"unload_dependents\":true}}").status, 200);
    assert_eq!(client.post(unload, "").status, 200);
    assert_eq!(client.post("/v2/repository/models/a/load", "").status, 200);
    assert_eq!(client.get("/v2/models/b").status, 404);
    assert_eq!(client.post("/v2/repository/models/b/load", "").status, 200);
    assert_eq!(client.get("/v2/models/b/ready").status, 200);
    folder.remove("b");
    assert_eq!(client.post("/v2/repository/models/b/load", "").status, 404);
    assert_eq!(client.get("/v2/models/b").status, 404);
}

#[test]
fn what_repository_calls_refuse() {
    let outer = Folder::new("refuse");
    let folder = Folder(outer.0.join("repository"));
    folder.put("m", "1", "1");
    // Beside the repository, where no name may lead.
    outer.put("secret", "1", "1");
    let (_handle, mut client) = start(&folder);
    for name in
        ["..", ".", "../secret", "..%2fsecret", "%2e%2e", "secret", "m/../../secret", "", "m%00", ".m"]
    {
        for action in ["load", "unload"] {
            let reply = client.post(&format!("/v2/repository/models/{name}/{action}"), "");
            assert_eq!(reply.status, 404, "{name} {action}");
            reply.error();
        }
    }
    let load = "/v2/repository/models/m/load";
    for body in
        ["[]", "1", "{", "{\"parameters\":{\"config\":\"{}\"}}", "{\"parameters\":{\"file:1/m\":\"\"}}"]
    {
        let reply = client.post(load, body);
        assert_eq!(reply.status, 400, "{body}");
        reply.error();
    }
    assert_eq!(client.post("/v2/repository/index", &"[".repeat(10_000)).status, 400);
    assert_eq!(client.get(load).header("allow"), Some("POST"));
    assert_eq!(client.get("/v2/repository/index").status, 405);
    assert_eq!(Client::connect(_handle.address().unwrap()).post(load, &" ".repeat(70_000)).status, 413);
    // Off unless switched on.
    let handle = start_repository(served(Config::default()), repository(&folder.0)).unwrap();
    let mut client = Client::connect(handle.address().unwrap());
    for action in ["load", "unload"] {
        assert_eq!(client.post(&format!("/v2/repository/models/m/{action}"), "").status, 403);
    }
    assert_eq!(client.post("/predict", "[1]").status, 200);
    // Nothing to serve is no server.
    folder.put("m", "1", "no");
    let told = start_repository(served(Config::default()), repository(&folder.0)).err().unwrap().to_string();
    assert!(told.contains("not a number"), "{told}");
    folder.remove("m");
    assert!(start_repository(served(Config::default()), repository(&folder.0)).is_err());
    assert!(start_repository(served(Config::default()), repository(Path::new("/nothing"))).is_err());
}

/// Set when dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Replacing a model under load: no request fails, and no answer mixes two versions.
#[test]
fn reloads_under_load() {
    let seconds = if std::env::var_os("TILEWISE_DEEP").is_some() { 60 } else { 2 };
    let folder = Folder::new("load");
    folder.put("m", "1", "1");
    let every = Some(Duration::from_millis(50));
    let repository = Repository { every, ..repository(&folder.0) };
    // Some rows at once are large: they go to other threads.
    let config = Config { inline_cells: 50, admin: true, ..Config::default() };
    let handle = start_repository(served(config), repository).unwrap();
    let (address, over) = (handle.address().unwrap(), AtomicBool::new(false));
    let (answered, newest) = (AtomicUsize::new(0), AtomicUsize::new(1));
    std::thread::scope(|scope| {
        for rows in [1, 10, 100, 1000] {
            let (over, answered, newest) = (&over, &answered, &newest);
            scope.spawn(move || {
                let request = post("/predict/m", &format!("[{}[1]]", "[1],".repeat(rows - 1)));
                let one = post("/predict/m", "[[1]]");
                let request = if rows == 1 { one } else { request };
                let mut client = Client::connect(address);
                let mut last = 0.0;
                while !over.load(Ordering::Relaxed) {
                    client.send(request.as_bytes()).unwrap();
                    let reply = client.reply().unwrap();
                    assert_eq!(reply.status, 200, "{reply:?}");
                    let reply = reply.json();
                    let answers = reply["predictions"].as_array().unwrap();
                    assert_eq!(answers.len(), rows);
                    assert!(answers.iter().all(|answer| answer == &answers[0]), "{reply}");
                    // Nobody sees an older version after a newer one.
                    let version = answers[0].as_f64().unwrap();
                    assert!(version >= last && version <= newest.load(Ordering::Relaxed) as f64);
                    last = version;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                assert!(last > 1.0);
            });
        }
        // Ends the others also when this thread fails.
        let _over = Over(&over);
        let (start, mut client) = (Instant::now(), Client::connect(address));
        while start.elapsed() < Duration::from_secs(seconds) {
            let next = newest.fetch_add(1, Ordering::Relaxed) + 1;
            folder.put("m", "1", &next.to_string());
            assert_eq!(client.post("/v2/repository/models/m/load", "").status, 200);
            assert_eq!(client.post("/predict", "[1]").json()["prediction"], next as f64);
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    assert!(answered.load(Ordering::Relaxed) > 100);
}

/// What was replaced is freed, by a thread that answers no requests.
#[test]
fn replaced_models_are_freed_elsewhere() {
    let folder = Folder::new("freed");
    folder.put("m", "1", "1");
    let (freed, on) = std::sync::mpsc::channel();
    let freed = std::sync::Mutex::new(freed);
    let loader = move |_: &Path| Ok(crate::models::mourned(freed.lock().unwrap().clone()));
    let repository = Repository { folder: Some(folder.0.clone()), ..Repository::new(Arc::new(loader)) };
    let handle = start_repository(served(Config { admin: true, ..Config::default() }), repository).unwrap();
    let mut client = Client::connect(handle.address().unwrap());
    for text in 2..5 {
        assert_eq!(client.post("/predict", "[1]").status, 200);
        folder.put("m", "1", &text.to_string());
        assert_eq!(client.post("/v2/repository/models/m/load", "").status, 200);
        assert_eq!(on.recv_timeout(Duration::from_secs(20)).unwrap(), "tilewise-models");
    }
    assert!(on.try_recv().is_err());
}

/// Names are limited at a time: one that is gone makes room for the next, and its count begins anew.
#[test]
fn names_that_are_gone_make_room() {
    let folder = Folder::new("names");
    folder.put("a", "1", "1");
    folder.put("b", "1", "1");
    let config = Config { admin: true, max_models: 2, ..Config::default() };
    let handle = start_repository(served(config), repository(&folder.0)).unwrap();
    let mut client = Client::connect(handle.address().unwrap());
    let counted = |client: &mut Client, name: &str| {
        let line = format!("tilewise_rows_total{{model=\"{name}\"}} ");
        client.get("/metrics").body.lines().find_map(|text| text.strip_prefix(&line).map(str::to_owned))
    };
    for round in 0..5 {
        let (goes, comes) = if round % 2 == 0 { ("a", "c") } else { ("c", "a") };
        assert_eq!(client.post(&format!("/predict/{goes}"), "[[1],[2],[3]]").status, 200);
        assert_eq!(counted(&mut client, goes).as_deref(), Some("3"));
        folder.put(comes, "1", "7");
        let full = client.post(&format!("/v2/repository/models/{comes}/load"), "");
        assert_eq!((full.status, full.error().contains("max_models")), (400, true), "{full:?}");
        folder.remove(goes);
        // What found no room is tried again, though its file is as it was.
        handle.reload();
        let start = Instant::now();
        while client.post(&format!("/predict/{comes}"), "[1]").status != 200 {
            assert!(start.elapsed() < Duration::from_secs(20));
            handle.reload();
        }
        assert_eq!(counted(&mut client, goes), None);
        assert_eq!(counted(&mut client, comes).as_deref(), Some("1"));
        client.post(&format!("/v2/repository/models/{comes}/load"), "");
        assert_eq!(client.post("/predict/b", "[1]").status, 200);
        folder.remove(comes);
        folder.put(comes, "1", "7");
        assert_eq!(client.post(&format!("/v2/repository/models/{comes}/unload"), "").status, 200);
        assert_eq!(client.post(&format!("/v2/repository/models/{comes}/load"), "").status, 200);
        assert_eq!(counted(&mut client, comes).as_deref(), Some("0"));
    }
}

/// A SIGHUP that comes while models are loaded for the first time ends nothing: it reloads once that is done.
#[test]
fn a_hangup_during_loading_is_kept() {
    let folder = Folder::new("hangup");
    folder.put("m", "1", "1");
    let (loads, place) = (AtomicUsize::new(0), folder.0.clone());
    let loader = move |path: &Path| {
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        if loads.fetch_add(1, Ordering::Relaxed) == 0 {
            let me = std::process::id().to_string();
            assert!(std::process::Command::new("kill").args(["-HUP", &me]).status().unwrap().success());
            // Seen by the reload only: this load has read the old file.
            std::fs::create_dir_all(place.join("m/2")).unwrap();
            std::fs::write(place.join("m/2/model"), "2").unwrap();
        }
        Ok(factor(text.parse().map_err(|_| format!("{text:?} is not a number"))?))
    };
    let repository = Repository { folder: Some(folder.0.clone()), ..Repository::new(Arc::new(loader)) };
    let config = Config { signals: true, ..Config::default() };
    let handle = start_repository(served(config), repository).unwrap();
    let mut client = Client::connect(handle.address().unwrap());
    let start = Instant::now();
    while client.post("/predict", "[1]").json()["prediction"] != 2.0 {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
