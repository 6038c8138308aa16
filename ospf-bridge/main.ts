if (process.send) await import('./sidecar.js');
else await import('./command/run.js');
