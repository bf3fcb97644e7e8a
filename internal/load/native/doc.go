// Package native reads the syntax of dynamod's TOML files into fragments with
// exact positions.
//
// It owns TOML itself and its bounds: tables become sections joined by ".",
// whether they are written as headers, dotted keys or inline tables; arrays
// become items; an array of tables becomes one item per element. It refuses
// meaning: it does not know which keys exist, and opens no file.
//
// A file that is not TOML gives the fragments before the error and an Error,
// from which the caller concludes that the unit cannot be used. The same holds
// for duplicate keys, which TOML forbids: the first one is kept.
package native
