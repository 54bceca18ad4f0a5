package main

import (
	"fmt"
	"maps"
	"path/filepath"
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

func attackCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "attack DIR",
		Short: "Delete everything in the bucket of the S3 tier of the lab in DIR that its keys can delete",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(args[0])
			if err != nil {
				return err
			}
			hidden, refused, err := l.AttackTier(cmd.Context())
			fmt.Printf("%d objects deleted; the store refused to remove %d versions of them\n", hidden, refused)
			return err
		},
	}
}

func dayCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "day DIR HOLDFAST RULES",
		Short: "Let the daemon of the program HOLDFAST keep a day of the schedule in fast motion, watched by Prometheus with RULES",
		Args:  cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(args[0])
			if err != nil {
				return err
			}
			for i := range args {
				if args[i], err = filepath.Abs(args[i]); err != nil {
					return err
				}
			}
			return l.Day(cmd.Context(), args[1], args[2], func(line string) { fmt.Println(line) })
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
