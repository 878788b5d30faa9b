//! Enums that users choose from by name: one table for each, from which all else follows.

/// Gives an enum `ALL`, `name`, `label`, `hint`, `ALIASES` and `from_name`.
///
/// The enum has a constant `TABLE: [(Self, name, label, hint); N]` with a row for each variant, in their
/// order. Names that earlier versions wrote into files follow the enum's name: `"old" => Variant`.
macro_rules! impl_choice {
    ($choice:ident $(, $alias:literal => $variant:ident)*) => {
        impl $choice {
            pub const ALL: [Self; Self::TABLE.len()] = {
                let mut all = [Self::TABLE[0].0; Self::TABLE.len()];
                let mut i = 0;
                while i < all.len() {
                    all[i] = Self::TABLE[i].0;
                    assert!(all[i] as usize == i, "the rows are in the order of the variants");
                    i += 1;
                }
                all
            };

            /// Name on the command line and in files.
            pub const fn name(self) -> &'static str {
                Self::TABLE[self as usize].1
            }

            /// Name in the window.
            pub const fn label(self) -> &'static str {
                Self::TABLE[self as usize].2
            }

            /// One line for a tooltip.
            pub const fn hint(self) -> &'static str {
                Self::TABLE[self as usize].3
            }

            /// The names of earlier versions.
            pub const ALIASES: &[(&str, Self)] = &[$(($alias, Self::$variant)),*];

            /// The choice of a name or an alias.
            pub fn from_name(name: &str) -> Option<Self> {
                let names = Self::ALL.into_iter().map(|choice| (choice.name(), choice));
                names.chain(Self::ALIASES.iter().copied()).find(|(known, _)| *known == name).map(|(_, choice)| choice)
            }
        }
    };
}

/// Writes an enum that has [`impl_choice!`] into files by its name, and reads it.
macro_rules! impl_serde_by_name {
    ($choice:ident) => {
        impl serde::Serialize for $choice {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $choice {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                const NAMES: [&str; $choice::ALL.len()] = {
                    let mut names = [""; $choice::ALL.len()];
                    let mut i = 0;
                    while i < names.len() {
                        names[i] = $choice::ALL[i].name();
                        i += 1;
                    }
                    names
                };
                let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::from_name(&name).ok_or_else(|| serde::de::Error::unknown_variant(&name, &NAMES))
            }
        }
    };
}

pub(crate) use {impl_choice, impl_serde_by_name};
