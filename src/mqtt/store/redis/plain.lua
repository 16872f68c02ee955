-- Messages that nothing guards and nobody retains, many in one call: for queues, and packed for other replicas.
-- ARGV: replica, queue messages, queue bytes, sessions, (client)*, forwards, (replica, messages packed)*,
--   appended messages, (message, takers, (which session, how)*)*
-- Answers: status (0), for each taker its number or -1
local me, most, most_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local sessions = {}
local at = 5
for n = 1, tonumber(ARGV[4]) do
  local client = ARGV[at]
  at = at + 1
  local key, queue = P .. 's:' .. client, P .. 'q:' .. client
  local s = redis.call('HMGET', key, 'owner', 'bytes', 'woken', 'seq')
  sessions[n] = {
    client = client, key = key, queue = queue, owner = s[1], bytes = tonumber(s[2] or '0'), woken = s[3],
    seq = tonumber(s[4] or '0'), length = s[1] and redis.call('XLEN', queue) or 0, fresh = {},
  }
end
local forwards = tonumber(ARGV[at])
local forward_at = at + 1
at = forward_at + forwards * 2
local answer = { 0 }
local count = tonumber(ARGV[at])
at = at + 1
for _ = 1, count do
  local message = ARGV[at]
  local takers = tonumber(ARGV[at + 1])
  at = at + 2
  for _ = 1, takers do
    local to, how = sessions[tonumber(ARGV[at])], ARGV[at + 1]
    at = at + 2
    local number = -1
    if to.owner and to.length < most and to.bytes < most_bytes then
      to.seq, to.length, to.bytes = to.seq + 1, to.length + 1, to.bytes + #message
      number = to.seq
      to.fresh[#to.fresh + 1] = { message, how }
    end
    answer[#answer + 1] = number
  end
end
-- The numbers first: whatever fails behind them, none is given twice.
for _, to in ipairs(sessions) do
  if #to.fresh > 0 then redis.call('HSET', to.key, 'seq', to.seq, 'bytes', to.bytes) end
end
for _, to in ipairs(sessions) do
  local number = to.seq - #to.fresh
  for _, entry in ipairs(to.fresh) do
    number = number + 1
    redis.call('XADD', to.queue, number .. '-0', 'm', entry[1], 'h', entry[2])
  end
  if #to.fresh > 0 and to.owner ~= '' and to.owner ~= me and to.woken ~= '1' then
    redis.call('HSET', to.key, 'woken', 1)
    redis.call('XADD', P .. 'in:' .. to.owner, '*', 'k', 'w', 'c', to.client)
  end
end
for n = 1, forwards do
  local to = ARGV[forward_at + n * 2 - 2]
  if redis.call('EXISTS', P .. 'lease:' .. to) == 1 then
    redis.call('XADD', P .. 'in:' .. to, '*', 'k', 'p', 'm', ARGV[forward_at + n * 2 - 1])
  end
end
return answer
