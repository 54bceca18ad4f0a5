package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"holdfast/internal/lab"
)

func destroyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "destroy DIR",
		Short: "Kill every database server of the lab in DIR and empty its datadir",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(args[0])
			if err != nil {
				return err
			}
			return l.Destroy(cmd.Context())
		},
	}
}

func checksumCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "checksum DIR",
		Short: "Print the checksum of every table on every database node of the lab in DIR",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(args[0])
			if err != nil {
				return err
			}
			for _, n := range l.Nodes() {
				sums, err := l.Checksums(cmd.Context(), n.Host)
				if err != nil {
					return err
				}
				for _, name := range slices.Sorted(maps.Keys(sums)) {
					fmt.Printf("%s\t%s\t%s\n", n.Host, name, sums[name])
				}
			}
			return nil
		},
	}
}
