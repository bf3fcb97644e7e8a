// Package noquery keeps the libraries of `dynamodctl top` from asking the terminal
// for its background colour. They do so when the program starts, whatever it is
// then asked for, and wait five seconds for an answer that a serial console never
// gives.
//
// It is imported for its init alone, and must come before bubbletea's: packages are
// initialised as soon as their imports are, in the order of their paths
// (https://go.dev/doc/go1.21#language), and this one needs lipgloss only.
// TestBusyBoxBootsToLogin in config/ sees to it that nothing is asked.
package noquery

import "github.com/charmbracelet/lipgloss"

func init() { lipgloss.SetHasDarkBackground(true) }
