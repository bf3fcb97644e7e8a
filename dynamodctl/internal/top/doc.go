// Package top is the full-screen view of what units do and consume. The model is
// pure as bubbletea wants it: samples come in as messages, Update returns what to
// ask next, and View makes text of the model. Run connects it to a terminal.
//
// It changes nothing on the machine: no key stops or restarts a unit.
package top
