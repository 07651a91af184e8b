// Loaded into each task before its own code: when the runner dies without a chance to forward a signal (SIGKILL), the task
// is asked to end, so that it can stop the real parts it started.

process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
process.channel?.unref();
