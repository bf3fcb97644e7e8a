//go:build plantedbug

package core

const plantedBug = true
