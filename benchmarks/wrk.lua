-- Posts whole requests from the files 0.http, 1.http, ... of a folder in turn, and ends with a
-- line of JSON. wrk ... -s wrk.lua URL -- FOLDER COUNT

local requests = {}
local next_one = 0

function init(args)
  for index = 0, tonumber(args[2]) - 1 do
    local file = assert(io.open(args[1] .. "/" .. index .. ".http", "rb"))
    requests[index] = file:read("*a")
    file:close()
  end
end

function request()
  local chosen = requests[next_one]
  next_one = (next_one + 1) % (#requests + 1)
  return chosen
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"seconds": %.6f, "requests": %d, "errors": %d, "p50_ms": %.3f, "p95_ms": %.3f, "p99_ms": %.3f}\n',
    summary.duration / 1e6, summary.requests - errors.status,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
