//+------------------------------------------------------------------+
//| OrionBridge.mq5: prices and signals to an orion-server.          |
//| MetaTrader 5. Installing it, and what it sends: README.md        |
//+------------------------------------------------------------------+
#property copyright   "orion-server contributors, MIT"
#property version     "1.00"
#property description "Sends prices and signals to an orion-server."
#property description "First: Tools > Options > Expert Advisors > Allow WebRequest for listed URL: the server's address."

input string InpUrl       = "https://example.com"; // Server, without a path (ports 443 and 80 only)
input string InpToken     = "";                    // Ingest token (ORION_INGEST_TOKEN of the server)
input string InpSymbols   = "EURUSD,GBPUSD,USDJPY,XAUUSD,US30,NAS100,SPX500"; // Symbols as the broker writes them
input int    InpBatchMs   = 250;                   // Time between two batches, ms (100 to 5000)
input int    InpBeatMs    = 5000;                  // Sign of life when nothing changed, ms (1000 to 10000)
input int    InpTimeoutMs = 2000;                  // Longest wait for an answer, ms (500 to 10000)
input bool   InpSignals   = true;                  // Send what OrionSignal() has left

#define SIGNALS "orion-signals\\"   // in the common folder of all terminals
#define KEEP_MS 30000               // an unacknowledged batch older than this gives way to the present prices

string g_symbol[];      // what is watched
long   g_last[];        // time_msc of the last tick that went into a batch
ulong  g_seq=0;         // number of the last batch
string g_unsent="";     // the batch that waits for its acknowledgement
ulong  g_built=0;       // when it was made
ulong  g_spoken=0;      // when the server last took something
ulong  g_next=0;        // nothing is sent before: back-off
ulong  g_quiet=0;       // nothing is printed before
int    g_failures=0;

int OnInit()
  {
   if(MQLInfoInteger(MQL_TESTER)!=0) { Print("WebRequest does not work in the Strategy Tester"); return(INIT_FAILED); }
   if(InpBatchMs<100 || InpBatchMs>5000 || InpBeatMs<1000 || InpBeatMs>10000 || InpTimeoutMs<500 || InpTimeoutMs>10000 ||
      StringLen(InpToken)==0 || StringFind(InpUrl,"http")!=0) return(INIT_PARAMETERS_INCORRECT);
   int n=StringSplit(InpSymbols,',',g_symbol);
   if(n<1 || n>200) return(INIT_PARAMETERS_INCORRECT);
   ArrayResize(g_last,n);
   ArrayInitialize(g_last,0);
   for(int i=0;i<n;i++)
     {
      StringTrimLeft(g_symbol[i]);
      StringTrimRight(g_symbol[i]);
      if(!SymbolSelect(g_symbol[i],true)) Print("unknown to this broker: ",g_symbol[i]);
     }
   return(EventSetMillisecondTimer(InpBatchMs) ? INIT_SUCCEEDED : INIT_FAILED);   // OnTick comes for the chart's symbol only
  }

void OnDeinit(const int reason) { EventKillTimer(); }

void OnTimer()
  {
   ulong now=GetTickCount64();
   if(now<g_next) return;
   if(g_unsent!="" && now-g_built>KEEP_MS) { g_unsent=""; ArrayInitialize(g_last,0); }
   if(g_unsent=="")
     {
      long offset=(long)MathRound((double)(TimeTradeServer()-TimeGMT())/900.0)*900;   // the broker's clock, ahead of UTC, s
      string ticks=Ticks(offset);
      if(ticks!="" || now-g_spoken>=(ulong)InpBeatMs)
        {
         g_seq++;
         g_built=now;
         g_unsent=StringFormat("{\"v\":1,\"type\":\"ticks\",\"src\":\"mt5\",\"seq\":%I64u,\"utc_off\":%I64d,\"connected\":%s,\"ticks\":[",
                               g_seq,offset,(TerminalInfoInteger(TERMINAL_CONNECTED)!=0 ? "true" : "false"))+ticks+"]}";
        }
     }
   if(g_unsent!="")
     {
      if(!Deliver(g_unsent)) return;
      g_unsent="";
     }
   if(InpSignals) SendSignal();
  }

//--- what changed since the last batch, as the elements of a JSON list
string Ticks(const long offset)
  {
   string list="";
   for(int i=0;i<ArraySize(g_symbol);i++)
     {
      MqlTick tick;
      if(!SymbolInfoTick(g_symbol[i],tick) || tick.time_msc==g_last[i] || tick.bid<=0 || tick.ask<=0) continue;
      g_last[i]=tick.time_msc;
      int digits=(int)SymbolInfoInteger(g_symbol[i],SYMBOL_DIGITS);
      list+=(list=="" ? "" : ",")+"{\"s\":\""+Json(g_symbol[i])+"\",\"b\":"+DoubleToString(tick.bid,digits)+",\"a\":"+
            DoubleToString(tick.ask,digits)+StringFormat(",\"d\":%d,\"t\":%I64d}",digits,tick.time_msc-offset*1000);
     }
   return(list);
  }

//--- one signal that OrionSignal() has left; its file goes when the server has it, or will never take it
void SendSignal()
  {
   string name;
   long search=FileFindFirst(SIGNALS+"*.json",name,FILE_COMMON);
   if(search==INVALID_HANDLE) return;
   FileFindClose(search);
   int file=FileOpen(SIGNALS+name,FILE_READ|FILE_TXT|FILE_ANSI|FILE_COMMON);
   if(file==INVALID_HANDLE) return;
   string json=FileReadString(file);
   FileClose(file);
   if(Deliver(json)) FileDelete(SIGNALS+name,FILE_COMMON);
  }

//--- whether the server is done with it: acknowledged, or refused for good
bool Deliver(const string json)
  {
   char data[],answer[];
   string headers;
   int size=StringToCharArray(json,data,0,WHOLE_ARRAY,CP_UTF8);
   ArrayResize(data,size-1);   // without the zero at the end
   ResetLastError();
   int code=WebRequest("POST",InpUrl+"/api/mt/ticks",
                       "Content-Type: application/json\r\nAuthorization: Bearer "+InpToken+"\r\n",
                       InpTimeoutMs,data,answer,headers);
   int error=GetLastError();
   string text=CharArrayToString(answer,0,WHOLE_ARRAY,CP_UTF8);
   bool taken=(code>=200 && code<300);
   bool never=(code==400 || code==409 || code==413 || code==422);
   if(taken || never)
     {
      g_failures=0;
      g_spoken=GetTickCount64();
      if(never || StringFind(text,"\"rejected\":[{")>=0) Note("not taken: "+text);
      return(true);
     }
   g_failures++;
   int pause=500;
   for(int i=1;i<g_failures && pause<30000;i++) pause*=2;
   if(pause>30000) pause=30000;
   g_next=GetTickCount64()+(ulong)(pause+MathRand()%500);
   Note(StringFormat("not delivered: HTTP %d, error %d %s",code,error,
        (code==401 ? "(wrong InpToken)" : (code<0 ? "(is the URL allowed in Tools > Options > Expert Advisors?)" : ""))));
   return(false);
  }

//--- printed at most once a minute
void Note(const string text)
  {
   ulong now=GetTickCount64();
   if(now<g_quiet) return;
   g_quiet=now+60000;
   Print(text);
  }

string Json(const string text)
  {
   string out=text;
   StringReplace(out,"\\","\\\\");
   StringReplace(out,"\"","\\\"");
   return(out);
  }
