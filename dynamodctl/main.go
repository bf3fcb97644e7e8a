// Command dynamodctl is the operator's tool.
package main

import (
	"os"

	"dynamod/dynamodctl/internal/cli"
)

func main() { os.Exit(cli.Run(os.Args[1:], os.Stdout, os.Stderr)) }
