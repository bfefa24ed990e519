//! What kubectl remembers.

use std::path::{Path, PathBuf};

/// Has kubectl ask the API server on this port of 127.0.0.1 anew which kinds there are. It remembers that for six hours by
/// address alone, so kinds of another cluster that had the port before would hide ours from `kubectl get loopback`.
pub(super) fn forget_kinds(port: u16) {
    if let Some(cache) = cache(std::env::var_os("KUBECACHEDIR").map(PathBuf::from), dirs::home_dir()) {
        forget_below(&cache, port);
    }
}

fn cache(configured: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    configured.filter(|path| !path.as_os_str().is_empty()).or_else(|| Some(home?.join(".kube/cache")))
}

fn forget_below(cache: &Path, port: u16) {
    // It may not be there. Nothing depends on success but what kubectl shows.
    drop(std::fs::remove_dir_all(cache.join("discovery").join(format!("127.0.0.1_{port}"))));
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn only_what_is_known_of_this_port_goes() {
        let home = TempDir::new().unwrap();
        let cache = cache(None, Some(home.path().to_owned())).unwrap();
        let known = |port: u16| cache.join(format!("discovery/127.0.0.1_{port}"));
        for port in [6443, 6444] {
            std::fs::create_dir_all(known(port).join("apps")).unwrap();
        }
        forget_below(&cache, 6443);
        forget_below(&cache, 6443);
        assert!(!known(6443).exists() && known(6444).exists());
        assert_eq!(super::cache(Some("/x".into()), None), Some(PathBuf::from("/x")));
        assert_eq!(super::cache(Some(PathBuf::new()), None), None);
    }
}
