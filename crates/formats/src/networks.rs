//! A file may hold several networks, such as the layers of one. They are never merged: one is chosen by name.

use super::error::ImportError;

/// The most names that an error lists.
const NAMES_MAX: usize = 20;

/// The only network, or the one that is wanted.
pub(super) fn choose<T>(mut networks: Vec<(String, T)>, wanted: Option<&str>) -> Result<Option<T>, ImportError> {
    let names = || networks.iter().take(NAMES_MAX).map(|(name, _)| name.clone()).collect::<Vec<_>>();
    if let Some(wanted) = wanted {
        let unknown = ImportError::UnknownNetwork { network: wanted.to_owned(), names: names() };
        if !networks.iter().any(|(name, _)| name == wanted) {
            return Err(unknown);
        }
        networks.retain(|(name, _)| name == wanted);
    }
    if networks.len() > 1 {
        let names = networks.iter().take(NAMES_MAX).map(|(name, _)| name.clone()).collect();
        return Err(ImportError::SeveralNetworks { names });
    }
    Ok(networks.pop().map(|(_, network)| network))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_is_chosen_and_none_merged() {
        let two = || vec![("l1".to_owned(), 1), ("l3".to_owned(), 3)];
        assert_eq!(choose(two(), Some("l3")).unwrap(), Some(3));
        assert_eq!(choose(two()[..1].to_vec(), None).unwrap(), Some(1));
        assert_eq!(choose(Vec::<(String, u8)>::new(), None).unwrap(), None);
        let several = choose(two(), None).unwrap_err().to_string();
        assert_eq!(several, "the file has several networks: choose one of 'l1', 'l3' as the network");
        let unknown = choose(two(), Some("l2")).unwrap_err().to_string();
        assert_eq!(unknown, "the file has no network 'l2': its networks are 'l1', 'l3'");
        let same = choose(vec![("x".to_owned(), 1), ("x".to_owned(), 2)], Some("x"));
        assert!(matches!(same, Err(ImportError::SeveralNetworks { .. })));
    }
}
