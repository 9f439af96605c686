-- What wrk asks for while the demo is recorded: the mix of an evening, at some 10 requests a second and connection.

math.randomseed(20)

local days = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" }
local words = { "news", "football", "jazz", "late+night", "d%C3%A9tective", "comedy", "cooking", "mountain", "opera", "kids", "nothing" }
local agents = { "LanternTV/4.2 (set-top)", "LanternTV/3.9 (Android 14)", "Mozilla/5.0 (X11; Linux x86_64) Lantern/1.0" }

local function one_of(list)
  return list[math.random(#list)]
end

local paths = {
  { 25, function() return "/v2/programs?day=" .. one_of(days) .. "&from=" .. math.random(0, 23) .. ":00" end },
  { 45, function() return "/v2/channels/" .. math.random(1, 41) end },
  { 57, function() return "/v2/channels" end },
  { 75, function() return "/v2/search?q=" .. one_of(words) .. "&limit=9" end },
  { 88, function() return "/v2/profile" end },
  { 93, function() return "/" end },
  { 95, function() return "/old" end },
  { 97, function() return "/health" end },
  { 98, function() return "/v1/epg.xml" end },
}

function delay()
  return math.random(20, 140)
end

function request()
  local viewer = "u" .. math.random(24)
  local headers = {
    ["Host"] = "tv.example.com",
    ["User-Agent"] = one_of(agents),
    ["Accept"] = "application/json",
    ["Cookie"] = "session=" .. viewer .. "; theme=dark",
    ["X-Request-Id"] = string.format("%08x%08x", math.random(0, 0x7fffffff), math.random(0, 0x7fffffff)),
  }
  if math.random(4) > 1 then
    headers["Accept-Encoding"] = "gzip"
  end
  local share = math.random(100)
  for _, path in ipairs(paths) do
    if share <= path[1] then
      return wrk.format("GET", path[2](), headers)
    end
  end
  headers["Content-Type"] = "application/json"
  return wrk.format("POST", "/v2/events", headers, '{"viewer":"' .. viewer .. '","event":"zap","to":' .. math.random(40) .. "}")
end
