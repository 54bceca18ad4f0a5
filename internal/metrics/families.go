package metrics

import "github.com/prometheus/client_golang/prometheus"

// family is a metric with all its series.
type family struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	desc       *prometheus.Desc
}

// families are all there are, in the order of the reference.
var families []*family

func gauge(name, help string, labels ...string) *family {
	return register(name, help, prometheus.GaugeValue, labels)
}

func counter(name, help string, labels ...string) *family {
	return register(name, help, prometheus.CounterValue, labels)
}

func register(name, help string, kind prometheus.ValueType, labels []string) *family {
	f := &family{name, help, kind, labels, prometheus.NewDesc(name, help, labels, nil)}
	families = append(families, f)
	return f
}

// sample makes one series' value.
func (f *family) sample(value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
}

// What the rules of the scripts expect that Holdfast takes the place of.
var (
	backupLast   = gauge("backup_last_success_timestamp", "Unix time of the oldest among the newest good copies of a source's components, 0 when there is none; only of sources that are promised every two days or more often.", "source")
	backupStatus = gauge("backup_last_status", "Whether the last backup of a source was done to its end: 1 or 0.", "source")
	backupFree   = gauge("backup_storage_free_bytes", "Free bytes of a tier's place, where that has bounds.", "tier")
)

// What is known of the cloud's protection.
var (
	buildInfo    = gauge("holdfast_build_info", "Always 1.", "version", "goversion", "cloud")
	clock        = gauge("holdfast_time_seconds", "Unix time by this host's clock.")
	jumps        = counter("holdfast_clock_jumps_total", "How often this host's clock was set by more than 30 seconds.")
	overviewTime = gauge("holdfast_overview_timestamp_seconds", "Unix time at which it was last looked how well the cloud is protected.")
	kitConfirmed = gauge("holdfast_kit_confirmed", "Whether somebody confirmed that the recovery kit is kept elsewhere: 1 or 0.")
	vaultBytes   = gauge("holdfast_vault_bytes", "Bytes that the vault of the first tier takes.")
	broken       = gauge("holdfast_promise_broken", "1 for each promise that is broken. `daemon` is what the daemon has trouble with: `config`, `state` or `status`.", "promise", "tier", "source")
	depend       = gauge("holdfast_dependent_images", "Images of instant restores that depend on Holdfast.")
	unserved     = gauge("holdfast_unserved_images", "Those of them that nothing serves.")

	tierUp       = gauge("holdfast_tier_up", "Whether a tier could be opened: 1 or 0.", "tier")
	tierPoints   = gauge("holdfast_points", "Recovery points in a tier.", "tier")
	tierFree     = gauge("holdfast_tier_free_bytes", "Free bytes of a tier's place, where that has bounds.", "tier")
	tierCapacity = gauge("holdfast_tier_capacity_bytes", "Bytes of a tier's place, where that has bounds.", "tier")
	tierLocked   = gauge("holdfast_tier_locked_until_timestamp_seconds", "Unix time until which nothing in a tier can be removed; only of tiers with lock:, 0 when some of it can.", "tier")
	tierVerified = gauge("holdfast_tier_verified_age_seconds", "Seconds since all points of a tier were verified together; +Inf when never.", "tier")

	components  = gauge("holdfast_components", "Components of a source that should be protected.", "source")
	unprotected = gauge("holdfast_unprotected_components", "Those of them without a good copy in any tier.", "source")
	late        = gauge("holdfast_late_components", "Those of them whose newest good copy in a tier is older than was promised, or missing.", "source", "tier")
	damaged     = gauge("holdfast_damaged_components", "Those of them whose newest good copy in a tier was found damaged.", "source", "tier")
	rpo         = gauge("holdfast_rpo_seconds", "How old the newest good copy of a source's components may be.", "source")

	goodAge     = gauge("holdfast_good_age_seconds", "Seconds since the newest good copy of a component in a tier; +Inf when there is none. Of images, the oldest of a pool.", "source", "component", "tier")
	verifiedAge = gauge("holdfast_verified_age_seconds", "Seconds since the newest good copy of a component in a tier was found whole; +Inf when never. Of images, the oldest of a pool.", "source", "component", "tier")
	drilledAge  = gauge("holdfast_drilled_age_seconds", "Seconds since a drill last restored a component; +Inf when never. Only of what drills restore: the copies of a database.", "source", "component")
	copies      = gauge("holdfast_copies", "Copies of a component on storage of their own, the cloud's own counted. Of images, the fewest of a pool.", "source", "component")
	offsite     = gauge("holdfast_offsite", "Whether a good copy of a component is offsite: 1 or 0. Of images, of all of a pool.", "source", "component")
	lockedUntil = gauge("holdfast_locked_until_timestamp_seconds", "Unix time until which a good copy of a component cannot be removed; 0 when it can. Of images, the soonest of a pool.", "source", "component")
)

// What was done.
var (
	runs        = counter("holdfast_runs_total", "Steps that ended, by how: done, or the kind of the problem.", "job", "step", "tier", "kind")
	runStatus   = gauge("holdfast_run_status", "Whether a step was last done to its end: 1 or 0.", "job", "step", "tier")
	runLast     = gauge("holdfast_run_last_timestamp_seconds", "Unix time at which a step last ended.", "job", "step", "tier")
	runGood     = gauge("holdfast_run_last_success_timestamp_seconds", "Unix time at which a step was last done to its end; 0 when never.", "job", "step", "tier")
	runDuration = gauge("holdfast_run_duration_seconds", "Seconds that a step last took.", "job", "step", "tier")
	readBytes   = counter("holdfast_read_bytes_total", "Bytes that a step read from its source or tier.", "job", "step", "tier")
	newBytes    = counter("holdfast_new_bytes_total", "Bytes that a step added to the vault, or sent to its tier.", "job", "step", "tier")
	replicated  = counter("holdfast_replicated_bytes_total", "Bytes that were sent to a tier.", "tier")
	tierErrors  = counter("holdfast_tier_errors_total", "Steps about a tier that were not done, by the kind of the problem.", "tier", "kind")
	damageFound = counter("holdfast_damage_found_total", "Steps that found damage in a tier.", "tier")
	healed      = counter("holdfast_healed_total", "Runs of verify --heal after which a tier in which damage was known was whole.", "tier")
	queueLength = gauge("holdfast_queue_length", "Steps that wait for their turn.")
	running     = gauge("holdfast_running_steps", "Steps under way.")
	nextRun     = gauge("holdfast_next_run_timestamp_seconds", "Unix time at which a job is due next.", "job")
)

// How people are told.
var (
	notifyPending   = gauge("holdfast_notify_pending", "News that wait to be sent.", "way")
	notifyDelivered = counter("holdfast_notify_delivered_total", "Messages that were taken.", "way")
	notifyFailures  = counter("holdfast_notify_failures_total", "Messages that could not be sent, each try counted.", "way")
	notifyFailing   = gauge("holdfast_notify_failing_seconds", "Seconds since when nothing could be sent; 0 when the last try went well.", "way")
	notifySent      = gauge("holdfast_notify_last_success_timestamp_seconds", "Unix time at which a message was last taken; 0 when never.", "way")
)
