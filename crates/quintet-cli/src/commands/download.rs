//! What `quintet weights add` takes: a path, a `file://` address, or one of a server.

use std::path::{Path, PathBuf};

use quintet::pipeline::WeightStore;

/// What a folder of weights may hold, of which only the first must be there.
const FILES: [&str; 7] = [
    "model.safetensors",
    "config.json",
    "tokenizer.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "preprocessor_config.json",
];

/// What this program can fetch.
pub(crate) const HINT: &str = if cfg!(feature = "download") {
    "an address works as well as a path."
} else {
    "this program fetches nothing itself (feature `download`)."
};

/// Where weights come from, on this machine.
pub(crate) enum Source {
    /// Somebody's file or folder.
    Local(PathBuf),
    /// A folder that was made for them, and the file or folder in it.
    #[cfg_attr(not(feature = "download"), expect(dead_code))]
    Fetched { folder: PathBuf, path: PathBuf },
}

impl Source {
    /// Fetches what has to be fetched.
    pub(crate) fn of(text: &str, name: &str, store: &WeightStore) -> anyhow::Result<Self> {
        if let Some(path) = text.strip_prefix("file://") {
            let path = path.strip_prefix("localhost").unwrap_or(path);
            anyhow::ensure!(
                path.starts_with('/'),
                "{text}: expected file:/// and a whole path, found {path:?}"
            );
            return Ok(Self::Local(PathBuf::from(path)));
        }
        let address = text.split_once("://").filter(|(scheme, _)| !scheme.contains(['/', '\\']));
        match address {
            None => Ok(Self::Local(PathBuf::from(text))),
            Some(("http" | "https", _)) => fetch(&addresses(text), name, store),
            Some((scheme, _)) => {
                anyhow::bail!(
                    "{text}: expected a path, file://, http:// or https://, found {scheme}"
                )
            }
        }
    }

    /// The file or folder.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Local(path) | Self::Fetched { path, .. } => path,
        }
    }
}

/// The files of an address, each with its name in the folder: the file that it names, or those
/// of a folder, which for a repository on huggingface.co are below `resolve/main`.
fn addresses(text: &str) -> Vec<(String, String)> {
    let bare = text.split(['?', '#']).next().unwrap_or(text).trim_end_matches('/');
    if bare.ends_with(".safetensors") {
        let name = bare.rsplit('/').next().unwrap_or(bare);
        return vec![(text.to_owned(), name.to_owned())];
    }
    let repository = bare
        .strip_prefix("https://huggingface.co/")
        .is_some_and(|path| path.matches('/').count() == 1);
    let base = if repository { format!("{bare}/resolve/main") } else { bare.to_owned() };
    FILES.iter().map(|file| (format!("{base}/{file}"), (*file).to_owned())).collect()
}

#[cfg(not(feature = "download"))]
fn fetch(files: &[(String, String)], name: &str, _: &WeightStore) -> anyhow::Result<Source> {
    let addresses: Vec<&str> = files.iter().map(|(address, _)| address.as_str()).collect();
    let what = match addresses.as_slice() {
        [one] => format!("fetch {one} by hand and run `quintet weights add {name} FILE`"),
        all => format!(
            "fetch those that are there of {} by hand into one folder and run `quintet weights \
             add {name} FOLDER`",
            all.join(", ")
        ),
    };
    anyhow::bail!("this program fetches nothing itself (feature `download`): {what}")
}

#[cfg(feature = "download")]
fn fetch(files: &[(String, String)], name: &str, store: &WeightStore) -> anyhow::Result<Source> {
    let folder = store.dir().join(format!(".{name}.{}.fetched", std::process::id()));
    fs_err::create_dir_all(&folder)?;
    if let Err(e) = fetch_into(files, &folder) {
        // The first error is the one to report; a leftover folder does no harm.
        let _ = fs_err::remove_dir_all(&folder);
        return Err(e);
    }
    // One file stays one, so that its hash is its own.
    let path = match files {
        [(_, name)] => folder.join(name),
        _ => folder.clone(),
    };
    Ok(Source::Fetched { folder, path })
}

#[cfg(feature = "download")]
fn fetch_into(files: &[(String, String)], folder: &Path) -> anyhow::Result<()> {
    use anyhow::Context;

    for (at, (address, name)) in files.iter().enumerate() {
        let mut response = match ureq::get(address).call() {
            // Of a folder only the arrays must be there.
            Err(ureq::Error::StatusCode(404)) if at > 0 => continue,
            answer => answer.with_context(|| address.clone())?,
        };
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent)?;
        }
        let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
        let bytes = std::io::copy(&mut body, &mut fs_err::File::create(&path)?)
            .with_context(|| address.clone())?;
        crate::print::note(&format!("{address}: {bytes} bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_file_or_a_folder_of_them() {
        let one = addresses("https://h.example/a/vit.safetensors?download=true");
        let file = "https://h.example/a/vit.safetensors?download=true";
        assert_eq!(one, [(file.to_owned(), "vit.safetensors".to_owned())]);
        let all = addresses("https://huggingface.co/org/name/");
        assert_eq!(all.len(), FILES.len());
        assert_eq!(all[0].0, "https://huggingface.co/org/name/resolve/main/model.safetensors");
        assert_eq!(addresses("http://h.example/x")[1].0, "http://h.example/x/config.json");
    }

    #[test]
    fn paths_stay_paths() {
        let store = WeightStore::new("w");
        let local = |text: &str| match Source::of(text, "n", &store) {
            Ok(Source::Local(path)) => path.display().to_string(),
            Ok(Source::Fetched { .. }) => "fetched".to_owned(),
            Err(e) => e.to_string(),
        };
        assert_eq!(local("a/b"), "a/b");
        assert_eq!(local("file:///a/b"), "/a/b");
        assert_eq!(local("file://localhost/a"), "/a");
        assert!(local("file://a/b").contains("a whole path"));
        assert!(local("ftp://a/b").contains("found ftp"));
    }
}
